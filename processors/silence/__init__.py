"""calls.audio → calls.silence and calls.activity: who speaks, where nobody does, and each second in numbers.

Takes every record of calls.audio. Emits SilenceEvent (speech and silence spans per channel, responses, dead air,
overtalk) and ActivityWindow (one per second of media time and channel, totals at the end), each exactly once. Audio is
decoded by its codec; what cannot be decoded here (Opus, comfort noise) counts as received audio of unknown content.

Speech is a voice, silence is quiet; music, ringing and key tones are neither, and a caller who hears music is not in
dead air. The trained detector of `audio.vad` tells them apart at 8, 16, 24, 32 and 48 kHz; other rates, and other
choices of `SILENCE_DETECTOR`, go by level, where what is loud is speech. A block of 20 ms is told when the one behind
it is complete, so everything comes that much later. A span that is certain is announced; it is stated whole, with its
level, when it ends. `SILENCE_THRESHOLDS` sets other limits for single organisations and queues.

A span covers audio that arrived: a gap, a discard, a pause or the end of the session ends it, and the detector begins
anew behind it. An event once written stands. Numbered packets are put in their order first, within 100 ms of the
source's own time; what is later, or came before, is counted and not analysed, as is all audio behind the head of the
timeline. Same records in, same records out, however they were polled; a session's outputs do not depend on its
neighbours. It reads no other topic and keeps nothing but its state, 1.7 kB per stereo call, and the packets that wait
for one in front of them.

Dead air, overtalk, responses and interruptions are found in interleaved channels, and in two numbered streams of a
session, one of each side: there as far as both are certain, which is up to 1.5 s later. Dead air is found in mixed
channels too.

What it does not do: it tells no speaker from another, and no music from a tone.
"""
