"""Proposes the level thresholds of the silence service from audio, and shows what they would have changed on it.

`wav_calls` and `topic_calls` get records of calls.audio, `listening` turns them into levels of 20-ms blocks with what
the voice detector hears in them, `proposal` makes thresholds of these, or says why it cannot, `effect` runs the silence
processor itself with the old and the new ones, and `report` writes it down. Only `topic_calls` touches a network.
"""
