"""RTP captures whose truth is known, since they are made here: `scenarios.scenario(name)` and `files.write_pcap`.

The truth comes from what the sender sent and what the made-up network did to it, never from counting what arrived.
"""
