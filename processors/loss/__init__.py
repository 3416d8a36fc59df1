"""calls.audio → calls.loss: what was lost, skipped, dropped or held up on the way, in numbers that are never mixed.

Takes every record of calls.audio. Emits LossReport, each exactly once: a WINDOW per 5 s of media time, a FINAL when the
session is closed or has gone idle, and alarms raised and cleared. Every session has reports of channel ALL; a source
that numbers its packets has reports of each channel and stream (SSRC) besides.

- Sources without numbers: expected is the timeline without its pauses, received the audio that arrived, both in samples
  per channel. What is missing stands under its cause: skipped by the source, around a reconnect, dropped by us, lost.
- Numbered sources: expected, received, unique, duplicates, reordered and lost in packets, by the numbers themselves,
  whatever their width; a restart of the numbering begins a segment whose counts are added. Reports of channel ALL are
  sums over the streams.
- Both: what arrived late though none of it is missing (stalls), and the platform's stated position against ours.

A packet that is missing at the end of a window counts as lost there, and no longer in `cumulative_lost` once it
arrived; a window's `lost` is never negative. FINAL has the whole truth. Same records in, same records out, however they
were polled; a session's outputs do not depend on its neighbours.

What it does not do: it reorders nothing, estimates no quality, and cannot see the loss of a stream's last packets.
"""
