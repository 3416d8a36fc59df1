"""The same log gives the same bytes, wherever a new owner takes the partition over."""

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.transcription.forward import LOOKBACK_MS, Transcription
from runtime.errors import InvalidRecord
from runtime.forwarding import Received
from schemas.codec import SchemaStore
from schemas.records import CallEvent, Utterance
from schemas.symbols import Reason, UtteranceKind
from schemas.topics import EVENTS
from tests.processors.transcription.calls import BASE_MS, MINUTE_MS, Call, key_of, tick

STORE = SchemaStore()
LogRecord = tuple[int, bytes | None, CallEvent]
"""Timestamp, key, event."""
STEPS = (
    "text",
    "digit",
    "interim",
    "blank",
    "info",
    "alive",
    "closed",
    "idle",
    "repeat",
    "hole",
    "tick",
    "key",
    "session",
)
WAITS_MS = (0, 1, 400, 999, 5000, 9000, 60_000, 7 * MINUTE_MS, -3000)


def made(call: Call, step: str, log: list[LogRecord]) -> tuple[bytes | None, CallEvent]:
    if step == "repeat" and log:
        return log[(7 * len(log)) // 11][1:]
    if step == "hole":
        call.counter += 2
    if call.counter == 0 and step not in ("hole", "alive", "tick"):
        event = call.opened()
    else:
        event = {
            "digit": lambda: call.digit(str(call.counter % 10)),
            "interim": lambda: call.text("he", is_final=False),
            "blank": lambda: call.text(" "),
            "info": call.told,
            "alive": call.alive,
            "closed": call.closed,
            "idle": lambda: call.closed(Reason.IDLE),
            "tick": tick,
            "session": lambda: call.text(session_id=""),
        }.get(step, lambda: call.text(f"text {call.counter}"))()
    return (b"wrong" if step == "key" else key_of(event)), event


def ticking(log: list[LogRecord], until_ms: int, now_ms: int) -> None:
    """Ticks every 5 s up to a time, as ingest writes them."""
    log.extend((at, None, tick()) for at in range(now_ms + 5000, until_ms + 1, 5000))


@st.composite
def logs(draw: st.DrawFn, waits: tuple[int, ...], *, always_ticking: bool) -> list[LogRecord]:
    calls = [Call(number, language=draw(st.sampled_from((None, "de")))) for number in range(3)]
    log: list[LogRecord] = []
    now_ms = BASE_MS
    moves = st.tuples(st.sampled_from(calls), st.sampled_from(STEPS), st.sampled_from(waits), st.booleans())
    for call, step, wait_ms, with_ticks in draw(st.lists(moves, min_size=1, max_size=40)):
        if always_ticking or with_ticks:
            ticking(log, now_ms + wait_ms, now_ms)
        now_ms += wait_ms
        log.append((now_ms, *made(call, step, log)))
    return log


def planned(
    transcription: Transcription, log: list[LogRecord], first: int = 0
) -> list[list[tuple[bytes, list[bytes]]]]:
    """The jobs of each record as bytes; a dead letter is one job with no key."""
    found = []
    for offset, (timestamp_ms, key, event) in enumerate(log[first:], first):
        try:
            jobs = transcription.plan(Received(EVENTS.name, 0, offset, timestamp_ms, key, event))
            found.append([(job.key, [STORE.encode(one) for one in job.work]) for job in jobs])
        except InvalidRecord as error:
            found.append([(b"", [str(error).encode()])])
    return found


def from_scratch() -> Transcription:
    transcription = Transcription()
    transcription.begin(0)
    return transcription


@given(log=logs(WAITS_MS, always_ticking=False), where=st.integers(0, 10_000))
@settings(max_examples=60)
def test_a_new_owner_that_looked_back_goes_on_with_the_same_bytes(log, where):
    cut = where % (len(log) + 1)
    whole = planned(from_scratch(), log)
    taken_over = from_scratch()
    planned(taken_over, log[:cut])
    taken_over.begin(0)
    assert planned(taken_over, log[:cut]) == whole[:cut]
    assert planned(taken_over, log, cut) == whole[cut:]


@given(log=logs((100, 5000, 240_000, 7 * MINUTE_MS), always_ticking=True), where=st.integers(0, 10_000))
@settings(max_examples=40)
def test_sessions_that_began_within_the_lookback_are_told_on_with_the_same_bytes(log, where):
    cut = 1 + where % len(log)
    since_ms = log[cut - 1][0] - LOOKBACK_MS
    first = next(offset for offset, (timestamp_ms, *_) in enumerate(log) if timestamp_ms >= since_ms)
    older = {event.session_id for *_, event in log[:first]}
    taken_over = from_scratch()
    planned(taken_over, log[:cut][first:], 0)
    assert only(planned(taken_over, log, cut), older) == only(planned(from_scratch(), log)[cut:], older)


def only(found: list[list[tuple[bytes, list[bytes]]]], left_out: set[str]) -> list[list]:
    """What is planned for other sessions, without the numbers that count all sessions' outputs of a record."""
    kept = []
    for jobs in found:
        kept.append([])
        for key, values in jobs:
            if key:
                records = [STORE.decode(value, Utterance) for value in values]
                kept[-1] += [
                    (key, one.utterance_id, one.partial, one.reason, one.origin.offset, one.session_info, one.language)
                    for one in records
                    if one.session_id not in left_out
                ]
    return kept


@given(log=logs(WAITS_MS, always_ticking=False))
@settings(max_examples=60)
def test_texts_stand_between_an_opened_and_a_closed_and_ids_name_one_record(log):
    is_open: dict[str, bool] = {}
    bytes_of: dict[str, bytes] = {}
    for jobs in planned(from_scratch(), log):
        for value in [value for key, values in jobs if key for value in values]:
            utterance = STORE.decode(value, Utterance)
            session = utterance.session_id
            assert is_open.get(session, False) is (utterance.kind is not UtteranceKind.OPENED)
            is_open[session] = utterance.kind is not UtteranceKind.CLOSED
            assert bytes_of.setdefault(utterance.utterance_id, value) == value
