"""calls.audio → calls.loss: what was lost, skipped, dropped or held up on the way, in numbers that are never mixed.

Takes every record of calls.audio. Emits LossReport, each exactly once: a WINDOW per 5 s of media time, a FINAL when the
session is closed or has gone idle, and alarms raised and cleared. Every session has reports of channel ALL; a source
that numbers its packets has reports of each channel and stream (SSRC) besides.

- Sources without numbers: expected is the timeline without its pauses, received the audio that arrived, both in samples
  per channel. What is missing stands under its cause: skipped by the source, around a reconnect, dropped by us, lost.
- Numbered sources: expected, received, unique, duplicates, reordered, late and lost in packets, by the numbers
  themselves, whatever their width; a restart of the numbering ends a segment, which has a FINAL of its own, and begins
  another whose counts are added. The FINAL of `segment` -1 is the stream's; it is never added to those of its segments.
  Bursts and gaps by their definition (RFC 3611), and with them an estimate of R and MOS (ITU-T G.107) with its inputs.
  Reports of channel ALL are sums over the streams.
- Both: interarrival jitter (RFC 3550), delays above their least (RFC 5481, to 1 ms), what arrived late though none of
  it is missing (stalls), and the platform's stated position against ours.
- Alarms: loss and quality, judged over the newest reports together and twice in a row; a stall; drift; no audio for too
  long while none is paused, by the partition's stream time alone.

A packet that is missing at the end of a window is pending as long as the reorder window lasts, then lost; it is late if
it still comes, and no longer in `cumulative_lost`; a window's `lost` is never negative. FINAL has the whole truth, and
in `closed_reason` why it ended. CORRECTION replaces it and says what changed: when a session that was closed as idle
returns, and when packets of a segment come though a restart has ended it. Same records in, same records out, however
they were polled; a session's outputs do not depend on its neighbours.

What it does not do: it reorders nothing, and cannot see the loss of a stream's first and last packets.
"""
