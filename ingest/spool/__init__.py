"""What Kafka does not take now, on disk: sealed blocks in append-only files, and a journal of the open sessions.

A process that dies leaves its folder; the next one appends to Kafka what was kept there and closes the sessions.
"""
