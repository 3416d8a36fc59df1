"""recording_sync: every session of `calls.audio` becomes one WAV file that fits its timeline.

In: `calls.audio`, as a member of the group `recording_sync` (earliest record first). Out: an object store with one WAV
and one JSON sidecar per session, and `calls.recordings` with a SEGMENT_SEALED per file, at least once, its `event_id`
deterministic.

Promises. The samples are the bytes the source sent, at the place the source gave them, all channels as the source
interleaves them. What did not arrive is filled with digital silence and listed in the sidecar with its reason; what
arrived late is listed as a stall, with nothing missing. A frame that comes late fills its hole until the session ends.
A crash loses nothing and repeats nothing: data is stored before the mark that says so, and storing it again changes no
byte. Frames inside a pause are never written. Names hold the session id and a date, nothing personal.

Not done. Nothing is decoded, mixed or resampled. Audio a WAV file cannot hold sample by sample (Opus, comfort noise)
is counted in the sidecar and left out. A session whose encoding changes gets a further file from there on, numbered by
the sequence of its first frame, as does one that comes back after it was closed as idle.

The work folder holds the open sessions and the marks. Processes of the group share it (each partition is locked by its
owner), or have one each and then record again what another one recorded: the same bytes under the same names.
"""
