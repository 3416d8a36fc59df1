"""What the embedded Kafka tells an operator when it cannot run."""

ELSEWHERE = (
    "Or use another cluster: set KAFKA_BOOTSTRAP_SERVERS=host:port, or start one with `docker compose up -d kafka`."
)


class KafkaStartError(Exception):
    """The embedded Kafka cannot start or went down; the message says what the operator can do about it."""
