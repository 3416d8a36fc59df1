"""The contract: what callstream writes to Kafka, and how to read it.

One folder per record holds its released Avro schemas (`vN.avsc`, never edited after release). `topics` is the catalogue
of topics, `records` and `symbols` are the Python side, `versions` knows the released schemas and their ids, `codec`
turns records into framed bytes and back. Everything here is pure: no network, no clock.
"""
