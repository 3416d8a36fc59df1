"""Every fact on the public topics, once, as lines of a hash-chained log that cannot be quietly changed.

In: every public topic but the audio topics. Out: objects of JSON lines in a store, and a head kept elsewhere.

**Line.** Canonical JSON: keys sorted by code point, no white space, UTF-8, no floating-point numbers (`chain`). Each
line holds `position` (from 0, over all lines), `previous` and `hash` = SHA-256(0x00 ‖ previous ‖ canonical line
without `hash`). An `entry` line holds one record: its topic, partition, offset, timestamp, conversation id, a digest
of any other key, its type and its fields. A `gap` line names offsets that were deleted before they were read. A
`marks` line ends each object: the next offset of every partition, the time, the writer, the id of the digest key.

**Values.** Integers, booleans, strings and nulls stand as they are; a float is the string of its shortest exact
decimal form; bytes are their SHA-256 and length. Every field the schema marks `pii` is a keyed digest (HMAC-SHA-256),
a whole one where the field is a record, list or map. Digests of `agent`, `actor` and `requested_by` and of record
keys are the same wherever the value is the same, so that they can be joined; all others include the record's place,
so that equal digits or words cannot be recognised. A value that cannot be decoded is its length and its keyed digest.

**Once.** An object is created exclusively under `<20 digits: its first position>.jsonl` and holds entries and marks
together, so the log and its place in the topics move in one step. The exclusive creation is the lease: of two writers
at the same position one fails and stops. What producers may deliver twice is recognised by its id among the last
offsets of its partition (`dedup_window`); a start reads that window again. A repeat and a TICK move the marks only.

**Head.** {`positions`, `hash`, `object`, `next_offsets`, …} of the newest object, overwritten after each, in a store
meant to be under other credentials. Without it a cut-off end would not show. It may lag behind the log, never lead
it.
"""
