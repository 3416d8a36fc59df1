"""calls.events → calls.utterances: what was said and which keys were pressed, in the order of calls.events.

Takes every record of calls.events and no other topic. Emits Utterance, each at least once; repeats have equal bytes:

- OPENED before anything else of a session, with what is known about it. TEXT for every final transcript of the platform
  that is not blank (input PLATFORM), its text as it came, and for every key press that carries its digit (input DTMF).
  CLOSED after the last, with the reason of the closed event, or IDLE after 15 min of stream time without a record.
- A session whose begin was not seen is opened by the first record of it that was, and has `partial` set until an INFO
  tells what is known. A session closed as IDLE that returns is partial as well and has another OPENED, so a TEXT always
  stands between an OPENED and a CLOSED. Records after any other CLOSED are dropped.
- OPENED, TEXT and CLOSED of an event carry its counter and its time. A CLOSED by IDLE carries the counter of the
  session's last event and no time.

`utterance_id` is the SHA-256, in hex, over the UTF-8 text

    <session_id>|<input>|<channel>|<event_counter>

of the fields of the record itself: symbols as the schema spells them, the counter in decimal. OPENED and CLOSED, which
have no input, put their kind there; their channel is ALL. Only `session_id` could hold a `|`, so no two records share a
text. For example `0192f0c4-7a11-7cc3-98c4-dc0c0c07398f|DTMF|EXTERNAL|7`.

What is known about a session is kept in memory and learnt again from the records of the last 40 minutes (a setting)
when a partition is taken over: a session that began before and lasts on is told as partial from there, without another
OPENED.

A record that names no session or conversation, or the wrong one, is a dead letter and changes nothing here.

What it does not do: interim transcripts are left out, intents too, and audio is not listened to.
"""
