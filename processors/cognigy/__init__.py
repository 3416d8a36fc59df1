"""calls.utterances → a bot → calls.bot, calls.bot-audio: what the caller said, and what the bot answered.

Takes TEXT utterances of the configured channels (the caller's). Emits BotTurn: one record for each thing the bot says,
in order, then TURN_END; an empty answer is a turn too. `turn_id` is the SHA-256 of the utterance id. Inputs of a
conversation are sent one after another, in order; conversations go on side by side.

The bot is reached by a transport: `rest`, Cognigy's REST endpoint, or `bridge`, a WebSocket of each call behind which a
bot answers (`processors.cognigy.bridge`). Only cognigy holds a bridge's sockets; ingest's source `appfoundry` is for
others. Over a bridge the bot may also speak unasked, which is written without a turn, and hear the caller: then
calls.audio is read too, from its end.

A turn is RECEIVED with its record, SENDING once its intent is on the turns topic, and ends as one of:

- ANSWERED. An answer that is not as documented counts: the bot took the input; an ERROR names each defect. What the
  answer was of: `superseded`, the caller had spoken again; `late`, more than `late_after_s` after the utterance's end.
  An answer that comes after its turn has ended (bridge) belongs to that turn, `late`.
- AMBIGUOUS: no answer in time, a connection cut, 408 or another 5xx; nobody knows what the bot took. A turn that a
  crash left between its intent and its result ends so too; with `on_ambiguous=resend` it is sent again, its records
  flagged.
- STALE: older than `max_input_age_s`, nothing was sent. SUPERSEDED: the caller spoke again before it was sent, and the
  operator chose not to send it then. FAILED: the bot refused (permanent) or was never reached (`retryable`).

No input is sent twice unless the operator chose `resend`. It is tried again only when it provably never reached the bot
(no connection, 429, 503 with Retry-After), at most 3 times, in its place in the conversation, and only as often as a
tenth of all inputs. Whatever was not answered leaves a dead letter with its reason.

Records that Kafka refuses (their size, as a rule) keep no turn from its end: an ERROR `not_stored` stands in their
place, and an input whose intent was refused is not sent.

SLOW says, while a turn waits, that its answer takes long. Where several inputs in a row got no answer the bot counts as
down: partitions are paused, each call that waits is told once (ERROR, `bot_unavailable`), one input probes.

SESSION says that a call of the bot began, and that it ended, after its last input. What the bot is told of the call
(`data.call`: nothing personal) goes with the first input, or when the call begins, or never (a setting).

What a restarted process adds to a turn is numbered from 1000, so that it is no repeat of what was written before.
Where a turn has two ends, the one that is not ambiguous stands.

The bot sees `sessionId` = conversation id, and as `userId` a pseudonym made from it: the first 32 hex digits of the
SHA-256 of `callstream-user:` and the conversation id. Numbers and names of callers are never sent. `data` holds
`_idem` (the turn id), `input`, `channel`, `language`, `confidence` and `occurredAtMs`. The URL token appears in no
log, record or metric; where an answer quotes it, it is blotted out.
"""
