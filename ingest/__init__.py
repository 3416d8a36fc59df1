"""In: live audio from its sources onto calls.audio and calls.events.

Promise: what reached us is stored, or announced as a GAP mark with its reason and, where knowable, its length. A source
is answered from memory whatever Kafka does; while Kafka is away records wait in bounded memory, then audio is dropped
and announced. Each session gets an id of its own and numbers its records; a repeat carries the same numbers. Audio,
digits and transcripts that arrive while a session is paused go nowhere.

`protocol` is the interface of a source and `sources` hold one each (`table` lists them); `server` accepts connections,
`session` is the shell of one, `sequencer` numbers its facts, `outlet` takes them to Kafka.
"""
