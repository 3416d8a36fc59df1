"""In: live audio from its sources onto calls.audio and calls.events."""
