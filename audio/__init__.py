"""Signals, pure: from the bytes of calls.audio to columns, positions and levels.

`frames` turns a poll of records into columns, `session` says which record of a session is new, repeated or behind a
hole; the rest is signal arithmetic. No clock, no network, no asyncio.
"""
