"""In: live audio from its sources onto calls.audio and calls.events.

Promise: what reached us is stored, or announced as a GAP mark with its reason and, where knowable, its length. A
source is answered from memory whatever Kafka does; while Kafka is away records wait in memory, then sealed on disk
where a folder is set, and only where that is full audio is dropped and announced. Each session gets an id of its own
and numbers its records; a repeat carries the same numbers. Audio, digits and transcripts that arrive while a session
is paused go nowhere; neither do those of a source that does not say so, while another session of the call is paused
or while nobody says whether it is. A source we call that is away is dialled again, alone: sessions of all others go
on.

`protocol` is the interface of a source and `sources` hold one each (`table` lists them); `server` accepts
connections, `dialling` opens those of sources we call, `session` is the shell of a protocol, `pausing` withholds what
may not be published, `sequencer` numbers the facts, `outlet` takes them to Kafka, over `spool` in an outage.
`following` shares the calls to dial among the ingest processes; `predecessors` and `takeover` let one go on where
another ended.
"""
