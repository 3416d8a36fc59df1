"""calls.audio → calls.speech: the frames that contain speech, as they are, and every mark; exactly once.

Takes every record of calls.audio. Emits copies: key and value byte for byte as received, so codec, position, sequence
and session stay what they were. A frame is copied when it touches a span of speech of one of its channels, widened by a
margin on both sides, up to the next gap, pause or discard; the spans are those of calls.silence under the same
settings, found by the same processor. What cannot be judged (Opus, comfort noise, audio without a place on the
timeline) is copied, and so is a frame whose turn comes before it is certain. Marks and ticks are copied all; repeats
and records behind a session's end are not.

A frame is held until enough audio followed it for its span to be certain, 0.7 s by default; so its copy comes later
than the frame. In a session the order stays, between sessions it may change. State: that of silence, and the frames
held: about 20 kB for a stereo call in G.711.

What it does not do: it changes nothing on calls.audio, and a hole in the sequence of calls.speech is no loss.
"""
