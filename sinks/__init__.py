"""Out: from topics to stores people use. Each folder is a service of its own."""
