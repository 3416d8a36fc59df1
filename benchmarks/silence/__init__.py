"""How well silence and speech are told apart: a labelled set from public recordings, peers in the same run, a table.

`./dev bench silence` makes the held-out part of the set and scores the detector of `audio/vad.py`, Silero, WebRTC and
the two detectors of the media-streams document on it. `--quick` takes a small part of it, `--wav DIR` a folder of WAV
files with label files beside them (lines of start, end in seconds, channel from 0). The last line is
`RESULT silence_quality …`.

The set is made again on every machine and never stored: Debian's prompt recordings, espeak-ng and flite speak, numpy
makes the noise, fixed numbers choose. `split` says which recordings, voices, music and numbers belong to the training
part; nothing of the rest is ever used for tuning.
"""
