"""A schema registry with Confluent's interface, in memory: eight endpoints, its error codes, and faults on demand.

It shares no code with the client. `python -m simulators.registry` serves it on loopback.
"""
