"""Identity against a model that judges one record at a time by the rule's own words."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.frames import FrameEncoder, Frames, decode
from audio.session import IDLE_MS, SessionTable, Verdict, by_slot
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, SessionInfo
from schemas.symbols import FrameKind, Reason

STORE = SchemaStore()
ENCODER = FrameEncoder(STORE)
SESSIONS = [bytes([number]) * 16 for number in (3, 1, 2)]
"""Not in order, so that an order by slot shows."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One record of a partition, short."""

    session: int
    sequence: int
    kind: FrameKind = FrameKind.AUDIO
    reason: Reason = Reason.UNKNOWN
    dead: bool = False

    @property
    def key(self) -> bytes | None:
        return None if self.kind is FrameKind.TICK else f"call-{self.session}".encode()

    @property
    def info(self) -> SessionInfo | None:
        if self.kind not in (FrameKind.OPENED, FrameKind.INFO) or self.dead:
            return None
        return SessionInfo(conversation_id=f"call-{self.session}", queue=f"q{self.sequence}")

    def value(self) -> bytes:
        tick = self.kind is FrameKind.TICK
        frame = AudioFrame(
            kind=self.kind,
            reason=self.reason,
            sample_rate_hz=8000,
            position_samples=0,
            session_id=bytes(16) if tick else SESSIONS[self.session],
            sequence=-1 if tick else self.sequence,
            payload=STORE.encode(self.info) if self.info else b"",
        )
        return ENCODER.encode(frame) + (b"\x00" if self.dead else b"")


@dataclasses.dataclass
class Entry:
    last: int
    closed: Reason | None
    touched_ms: int
    partial: bool
    info: SessionInfo | None = None


class Model:
    """The rule of identity, one record at a time."""

    def __init__(self):
        self.entries: dict[bytes, Entry] = {}

    def judge(self, row: Row, now_ms: int) -> tuple[Verdict, int]:
        if row.kind is FrameKind.TICK:
            return Verdict.NONE, 0
        verdict, missing = Verdict.NONE, 0
        entry = self.entries.get(SESSIONS[row.session])
        if entry is None:
            verdict |= Verdict.FIRST
            if row.sequence == 0:
                verdict |= Verdict.FROM_START
            entry = Entry(row.sequence, None, now_ms, partial=row.sequence != 0 or row.dead)
            self.entries[SESSIONS[row.session]] = entry
        elif row.sequence <= entry.last:
            return Verdict.REPEAT, 0
        elif entry.closed is not None and entry.closed is not Reason.IDLE:
            return Verdict.DROPPED, 0
        else:
            missing = row.sequence - entry.last - 1
            verdict |= Verdict.HOLE if missing else Verdict.NONE
            if entry.closed is Reason.IDLE:
                verdict |= Verdict.REOPENED
                entry.closed, entry.partial = None, True
            entry.last, entry.touched_ms = row.sequence, now_ms
        if row.dead:
            return verdict | Verdict.DEAD, missing
        if row.kind is FrameKind.CLOSED:
            entry.closed = row.reason
        if row.info is not None:
            entry.info, entry.partial = row.info, False
        return verdict | Verdict.ACCEPTED, missing

    def expire(self, now_ms: int) -> list[bytes]:
        closed = []
        for session, entry in sorted(self.entries.items()):
            if now_ms - entry.touched_ms < IDLE_MS:
                continue
            if entry.closed is None:
                entry.closed, entry.touched_ms = Reason.IDLE, now_ms
                closed.append(session)
            else:
                del self.entries[session]
        return closed


def poll(rows: list[Row]) -> Frames:
    return decode([row.value() for row in rows], STORE)


def identify(table: SessionTable, rows: list[Row], now_ms: int = 0):
    return table.identify(poll(rows), [row.key for row in rows], now_ms)


def verdicts(table: SessionTable, *rows: Row, now_ms: int = 0) -> list[Verdict]:
    return [Verdict(code) for code in identify(table, list(rows), now_ms).verdicts.tolist()]


def entries(table: SessionTable) -> dict[bytes, Entry]:
    return {
        table.ids[slot]: Entry(
            last=int(table.last[slot]),
            closed=None if table.is_open(slot) else list(Reason)[table.closed[slot]],
            touched_ms=int(table.touched_ms[slot]),
            partial=bool(table.partial[slot]),
            info=table.infos[slot],
        )
        for slot in table.in_order()
    }


SEQUENCES = st.integers(0, 12)
rows = st.builds(
    Row,
    session=st.integers(0, len(SESSIONS) - 1),
    sequence=SEQUENCES,
    kind=st.sampled_from([FrameKind.AUDIO] * 6 + [FrameKind.OPENED, FrameKind.INFO, FrameKind.CLOSED, FrameKind.TICK]),
    reason=st.sampled_from([Reason.END, Reason.IDLE, Reason.UNKNOWN]),
    dead=st.booleans().flatmap(lambda maybe: st.booleans() if maybe else st.just(False)),
).filter(lambda row: not (row.dead and row.kind is FrameKind.TICK))


@st.composite
def runs(draw):
    """Mostly what a log really holds: sessions counting up, now and then a repeat, a hole, an end."""
    out, last = [], [-1] * len(SESSIONS)
    for _ in range(draw(st.integers(0, 25))):
        row = draw(rows)
        step = draw(st.sampled_from([1] * 8 + [0, -1, 2, 5]))
        sequence = max(0, last[row.session] + step)
        last[row.session] = max(last[row.session], sequence)
        out.append(dataclasses.replace(row, sequence=sequence))
    return out


seconds = st.lists(
    st.tuples(st.one_of(runs(), st.lists(rows, max_size=8)), st.sampled_from([1000, 5000, IDLE_MS // 2, IDLE_MS])),
    min_size=1,
    max_size=4,
)


def cut(rows_of_second: list[Row], cuts: list[int]) -> list[list[Row]]:
    edges = [0, *sorted(min(edge, len(rows_of_second)) for edge in cuts), len(rows_of_second)]
    return [rows_of_second[start:stop] for start, stop in itertools.pairwise(edges)]


@settings(max_examples=200)
@given(seconds, st.lists(st.integers(0, 25), max_size=5))
def test_identify_is_the_model_however_the_log_is_cut(log, cuts):
    model, table, now_ms = Model(), SessionTable(), 0
    for second, step_ms in log:
        now_ms += step_ms
        assert [table.ids[slot] for slot in table.expire(now_ms)] == model.expire(now_ms)
        expected = [model.judge(row, now_ms) for row in second]
        seen = []
        for part in cut(second, cuts):
            identity = identify(table, part, now_ms)
            seen += zip(map(Verdict, identity.verdicts.tolist()), identity.missing.tolist(), strict=True)
            for row, slot in zip(part, identity.slots.tolist(), strict=True):
                assert slot == (-1 if row.kind is FrameKind.TICK else table.slot(SESSIONS[row.session]))
        assert seen == expected
        assert entries(table) == model.entries


@given(seconds, st.lists(st.integers(0, 25), max_size=5))
def test_a_snapshot_is_canonical_and_restores_everything(log, cuts):
    whole, parts, now_ms = SessionTable(), SessionTable(), 0
    for second, step_ms in log:
        now_ms += step_ms
        whole.expire(now_ms)
        parts.expire(now_ms)
        identify(whole, second, now_ms)
        for part in cut(second, cuts):
            parts = SessionTable.restore(parts.snapshot())
            identify(parts, part, now_ms)
        assert parts.snapshot() == whole.snapshot()
    assert entries(SessionTable.restore(whole.snapshot())) == entries(whole)
    assert SessionTable.restore(whole.snapshot()).snapshot() == whole.snapshot()


def test_a_snapshot_does_not_depend_on_the_order_sessions_came_in():
    one, other = SessionTable(), SessionTable()
    identify(one, [Row(0, 0), Row(1, 0), Row(2, 0)])
    identify(other, [Row(2, 0), Row(0, 0), Row(1, 0)])
    assert one.snapshot() == other.snapshot()
    assert [one.ids[slot] for slot in one.in_order()] == sorted(SESSIONS)


def test_a_session_s_records_count_up_from_its_opening():
    table = SessionTable()
    assert verdicts(table, Row(0, 0, FrameKind.OPENED), Row(0, 1), Row(0, 2)) == [
        Verdict.ACCEPTED | Verdict.FIRST | Verdict.FROM_START,
        Verdict.ACCEPTED,
        Verdict.ACCEPTED,
    ]
    assert len(table) == 1


def test_a_repeat_is_not_accepted_and_a_hole_is_measured():
    table = SessionTable()
    identity = identify(table, [Row(0, 0), Row(0, 1), Row(0, 1), Row(0, 0), Row(0, 5), Row(0, 6)])
    accepted = int(Verdict.ACCEPTED)
    assert identity.verdicts.tolist()[1:] == [
        accepted,
        Verdict.REPEAT,
        Verdict.REPEAT,
        Verdict.ACCEPTED | Verdict.HOLE,
        accepted,
    ]
    assert identity.missing.tolist() == [0, 0, 0, 0, 3, 0]


def test_a_session_joined_late_is_partial_until_its_info_comes():
    table = SessionTable()
    assert verdicts(table, Row(0, 7)) == [Verdict.ACCEPTED | Verdict.FIRST]
    slot = table.slot(SESSIONS[0])
    assert (table.conversations[slot], table.infos[slot], bool(table.partial[slot])) == ("call-0", None, True)
    verdicts(table, Row(0, 8, FrameKind.INFO))
    assert (table.infos[slot].queue, bool(table.partial[slot])) == ("q8", False)


def test_a_dead_opening_leaves_the_session_partial():
    table = SessionTable()
    assert verdicts(table, Row(0, 0, FrameKind.OPENED, dead=True), Row(0, 1)) == [
        Verdict.DEAD | Verdict.FIRST | Verdict.FROM_START,
        Verdict.ACCEPTED,
    ]
    assert table.partial[table.slot(SESSIONS[0])]


def test_a_dead_letter_moves_the_session_on_but_does_not_close_it():
    table = SessionTable()
    rows_ = [Row(0, 0), Row(0, 1, FrameKind.CLOSED, Reason.END, dead=True), Row(0, 2)]
    assert verdicts(table, *rows_)[1:] == [Verdict.DEAD, Verdict.ACCEPTED]


def test_nothing_is_accepted_after_the_end():
    table = SessionTable()
    rows_ = [Row(0, 0), Row(0, 1, FrameKind.CLOSED, Reason.END), Row(0, 2)]
    assert verdicts(table, *rows_)[2] == Verdict.DROPPED
    assert verdicts(table, Row(0, 3)) == [Verdict.DROPPED]


def test_a_return_after_idle_reopens_and_is_partial_until_the_next_info():
    table = SessionTable()
    verdicts(table, Row(0, 0, FrameKind.OPENED), Row(0, 1))
    assert table.expire(IDLE_MS) == [table.slot(SESSIONS[0])]
    assert not table.is_open(table.slot(SESSIONS[0]))
    assert verdicts(table, Row(0, 2), now_ms=IDLE_MS) == [Verdict.ACCEPTED | Verdict.REOPENED]
    assert table.is_open(table.slot(SESSIONS[0]))
    assert table.partial[table.slot(SESSIONS[0])]
    assert verdicts(table, Row(0, 3, FrameKind.INFO), now_ms=IDLE_MS) == [Verdict.ACCEPTED]
    assert not table.partial[table.slot(SESSIONS[0])]


def test_info_before_a_return_does_not_lift_partial_after_it():
    table = SessionTable()
    rows_ = [Row(0, 0, FrameKind.OPENED), Row(0, 1, FrameKind.CLOSED, Reason.IDLE), Row(0, 2)]
    assert verdicts(table, *rows_)[2] == Verdict.ACCEPTED | Verdict.REOPENED
    assert table.partial[table.slot(SESSIONS[0])]


@pytest.mark.parametrize(("idle_ms", "closed"), [(IDLE_MS - 1, False), (IDLE_MS, True)])
def test_a_session_is_closed_after_fifteen_minutes_without_records(idle_ms, closed):
    table = SessionTable()
    verdicts(table, Row(0, 0), now_ms=77)
    assert bool(table.expire(77 + idle_ms)) is closed


def test_sessions_that_end_together_are_named_in_the_order_of_their_ids():
    table = SessionTable()
    verdicts(table, Row(0, 0), Row(1, 0), Row(2, 0))
    assert [table.ids[slot] for slot in table.expire(IDLE_MS)] == sorted(SESSIONS)


def test_a_closed_entry_stays_fifteen_minutes_and_is_then_forgotten():
    table = SessionTable()
    verdicts(table, Row(0, 0), Row(0, 1, FrameKind.CLOSED, Reason.END))
    table.expire(IDLE_MS - 1)
    assert verdicts(table, Row(0, 1)) == [Verdict.REPEAT]
    assert table.expire(IDLE_MS) == []
    assert (len(table), table.slot(SESSIONS[0])) == (0, None)


def test_an_entry_closed_by_idle_stays_fifteen_minutes_more():
    table = SessionTable()
    verdicts(table, Row(0, 0))
    table.expire(IDLE_MS)
    table.expire(2 * IDLE_MS - 1)
    assert len(table) == 1
    assert table.expire(2 * IDLE_MS) == []
    assert len(table) == 0


def test_a_freed_slot_is_used_again_without_its_past():
    table = SessionTable()
    verdicts(table, Row(0, 0, FrameKind.OPENED), Row(0, 1, FrameKind.CLOSED, Reason.END))
    old = table.slot(SESSIONS[0])
    table.expire(IDLE_MS)
    assert verdicts(table, Row(1, 4), now_ms=IDLE_MS) == [Verdict.ACCEPTED | Verdict.FIRST]
    slot = table.slot(SESSIONS[1])
    assert slot == old
    assert (table.conversations[slot], table.infos[slot], bool(table.partial[slot])) == ("call-1", None, True)
    assert table.capacity == 1


def test_ticks_and_unreadable_rows_belong_to_no_session():
    table = SessionTable()
    frames = decode([Row(0, 0, FrameKind.TICK).value(), b"garbage", None], STORE)
    identity = table.identify(frames, [None, b"k", None], 0)
    assert identity.slots.tolist() == [-1, -1, -1]
    assert identity.verdicts.tolist() == [0, 0, 0]
    assert len(table) == 0


def test_a_record_without_key_has_no_conversation():
    table = SessionTable()
    table.identify(poll([Row(0, 5)]), [None], 0)
    assert table.conversations == [""]


def test_many_sessions_grow_the_table():
    table = SessionTable()
    ids = [number.to_bytes(16, "big") for number in range(1, 101)]
    values = [
        ENCODER.encode(AudioFrame(kind=FrameKind.ALIVE, session_id=session, sequence=sequence))
        for sequence in range(3)
        for session in ids
    ]
    identity = table.identify(decode(values, STORE), [b"k"] * len(values), 0)
    assert np.all(identity.verdicts & Verdict.ACCEPTED)
    assert (len(table), table.capacity) == (100, 100)
    assert [table.last[slot] for slot in table.in_order()] == [2] * 100


@pytest.mark.parametrize("highest", [250, 65_535, 65_536, 70_000])
def test_rows_are_grouped_by_slot_and_keep_their_order(highest):
    slots = np.random.default_rng(highest).integers(highest - 9, highest + 1, 500)
    assert by_slot(slots).tolist() == sorted(range(500), key=lambda row: (slots[row], row))
