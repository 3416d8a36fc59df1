"""calls.audio → calls.silence and calls.activity: where nobody speaks, and each second of each channel in numbers.

Takes every record of calls.audio. Emits SilenceEvent (speech and silence spans per channel, dead air, overtalk) and
ActivityWindow (one per second of media time and channel, totals at the end), each exactly once. Audio is decoded by
its codec; what cannot be decoded here (Opus, comfort noise) counts as received audio of unknown content.

A span covers audio that arrived: a gap, a discard, a pause or the end of the session ends it. An event once written
stands. Numbered packets are put in their order first, within 100 ms of the source's own time; what is later, or came
before, is counted and not analysed, as is all audio behind the head of the timeline. Same records in, same records
out, however they were polled; a session's outputs do not depend on its neighbours. It reads no other topic and keeps
nothing but its state, less than 1 kB per call, and the packets that wait for one in front of them.

What it does not do: it tells quiet from loud, not speech from music. Of two numbered streams of a session, one of each
side, it judges each by itself: dead air and overtalk are found in interleaved or mixed channels only.
"""
