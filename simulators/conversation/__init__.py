"""The shipped conversation: two speakers, stereo mu-law at 8 kHz, with the spans that are true by construction.

`script.load()` gives the audio and its truth. `make_conversation.py` made both files with `espeak-ng`; nothing else
needs it.
"""
