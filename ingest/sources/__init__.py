"""The sources: one folder each, holding what its platform speaks. They know nothing of each other, Kafka or sockets."""
