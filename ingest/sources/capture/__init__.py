"""Capture: a file of packets (pcap, pcapng) or of audio (WAV) becomes sessions on calls.audio, as if it came in now.

It takes every RTP stream of the file by its SSRC and the way it went, or the chosen ones as the two directions of one
call; a WAV file is one session. What a packet brings is published as it was captured: payload, number, timestamp,
order, copies; `captured_at_s` is the capture's own time. Positions follow the rule of all numbered sources.

Damage is counted and never fatal: frames cut short, wrong lengths, fragments, RTCP, other protocols, payload types
nobody explained. A packet of a known stream whose payload cannot be used (cut short, fragmented, encrypted, half
a sample) keeps its number and loses its payload, so that it is not taken for lost. Digits (telephone events) are
published only where asked for.

Nothing here knows when a call was paused: what a file holds was recorded before, and whoever imports it answers for it.
"""
