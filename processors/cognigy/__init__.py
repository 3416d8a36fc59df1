"""calls.utterances → Cognigy's REST endpoint → calls.bot: what the caller said, and what the bot answered.

Takes TEXT utterances of the configured channels (the caller's). Emits BotTurn: one OUTPUT for each entry of the
answer's `outputStack`, in order, then TURN_END; an empty answer is a turn too. `turn_id` is the SHA-256 of the
utterance id. Inputs of a conversation are sent one after another, in order; conversations go on side by side.

- No input is sent twice unless the operator chose `resend`. Before bytes leave, the intent is on the turns topic. It
  is sent again only when it provably never reached the bot: no connection, 429, 503 with Retry-After; at most 3
  attempts, and never once the input is older than `max_input_age_s`.
- AMBIGUOUS: no answer in time, a connection cut, 408 or another 5xx; nobody knows what the bot took. A turn that a
  crash left between its intent and its result ends so too; with `resend` it is sent again, its records all flagged.
- STALE: too old, nothing was sent. FAILED: the bot refused (permanent) or was never reached (`retryable`). Why a turn
  was not answered stands in an ERROR before its end, and in the end.
- An answer with status 2xx that is not as documented: the bot took the input, so the turn is ANSWERED; an ERROR in
  the place of each part that cannot be read names the defect.

What a restarted process adds to a turn is numbered from 1000, so that it is no repeat of what was written before.
Where a turn has two ends, the one that is not ambiguous stands.

The bot sees `sessionId` = conversation id, and as `userId` a pseudonym made from it: the first 32 hex digits of the
SHA-256 of `callstream-user:` and the conversation id. Numbers and names of callers are never sent. `data` holds
`_idem` (the turn id), `input`, `channel`, `language`, `confidence` and `occurredAtMs`. The URL token appears in no
log, record or metric; where an answer quotes it, it is blotted out.

What it does not do: nothing supersedes an input, no SLOW is written while a turn waits, and a bot that is down is
asked anew by every input.
"""
