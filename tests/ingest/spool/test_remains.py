from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.frames import decode
from ingest.identity import Lineage
from ingest.protocol import AudioReceived, SessionClosed, SessionOpened
from ingest.sequencer import Encoding, Moment, Outgoing, Sequencer
from ingest.spool.journal import Entry, Mark, Standing
from ingest.spool.remains import Remains
from ingest.spool.segments import Stored
from schemas import topics
from schemas.codec import SchemaStore
from schemas.records import CallEvent, SessionInfo
from schemas.symbols import Channels, Codec, FrameKind, Reason, Source

AUDIO, EVENTS = topics.AUDIO.name, topics.EVENTS.name
STORE = SchemaStore()
ENCODING = Encoding(STORE)
ID, OTHER = UUID(int=5), UUID(int=6)
INFO = SessionInfo(conversation_id="call", organisation="org", source_name="test", queue="q")
FRAMES = 6


def session(session_id: UUID = ID, *, closed: Reason | None = None) -> list[Outgoing]:
    """All records of a session: opened, six frames of 100 ms, and closed if wanted."""
    sequencer = Sequencer(ENCODING, lambda: session_id, Lineage())
    opened = SessionOpened("k", INFO, Source.AUDIOHOOK, 8000, Codec.PCMU, Channels.EXTERNAL)
    records = sequencer.take(opened, Moment(1.0, 1.0))
    for number in range(FRAMES):
        audio = AudioReceived("k", bytes(800), Codec.PCMU, Channels.EXTERNAL, 8000, number * 800, 800)
        records += sequencer.take(audio, Moment(1.0, 1.0))
    if closed is not None:
        records += sequencer.take(SessionClosed("k", closed), Moment(1.0, 1.0))
    return records


def entry(session_id: UUID = ID, mark: Mark | None = None) -> Entry:
    standing = Standing(session_id, "call", Source.AUDIOHOOK, 8000, 1.0, "test", "org", "q", None)
    return Entry(standing, mark or Mark())


def of(topic: str, records: list[Outgoing]) -> list[bytes]:
    return [record.value for record in records if record.topic == topic]


def spooled(values: list[bytes], key: bytes = b"call") -> list[Stored]:
    return [Stored(key, value) for value in values]


def frames(values: list[bytes]) -> list[tuple[str, int, str, int]]:
    """Kind, sequence, reason, position of each."""
    found = decode(values, STORE)
    assert not found.errors
    columns = zip(found.kind, found.sequence, found.reason, found.position_samples, strict=True)
    return [(list(FrameKind)[k].value, int(s), list(Reason)[r].value, int(p)) for k, s, r, p in columns]


OPEN = session()


@given(rest=st.data())
def test_whatever_was_stored_and_spooled_the_topic_ends_whole_with_gap_and_closed(rest):
    audio = of(AUDIO, OPEN)
    # the journal lags behind what is stored, and what was spooled begins with what is not or is stored too
    stored = rest.draw(st.integers(0, len(audio)))
    known = rest.draw(st.integers(0, stored))
    first = rest.draw(st.integers(0, stored))
    last = rest.draw(st.integers(first, len(audio)))
    remains = Remains({ID: entry(mark=Mark(known, 1, max(0, known - 1) * 800, 0, 0))}, STORE)
    # reading begins anywhere before what is not stored for certain
    remains.take_stored(AUDIO, audio[rest.draw(st.integers(0, known)) : stored])
    remains.take_stored(EVENTS, of(EVENTS, OPEN))
    appended = of(AUDIO, remains.take_spooled(AUDIO, spooled(audio[first:last])))
    closings, lost = remains.closings(ENCODING, 9.0)
    everything = audio[:stored] + appended
    assert everything == audio[: max(stored, last)]
    next_sequence = len(everything)
    position = max(0, (next_sequence - 1) * 800)
    assert frames(of(AUDIO, closings)) == [
        ("GAP", next_sequence, "INGEST_LOST", position),
        ("CLOSED", next_sequence + 1, "INGEST_LOST", position),
    ]
    assert lost == 1


def test_the_events_get_their_own_counters_and_the_sequences_they_stand_at():
    records = session()
    remains = Remains({ID: entry()}, STORE)
    remains.take_stored(AUDIO, of(AUDIO, records))
    remains.take_stored(EVENTS, of(EVENTS, records))
    closings, _ = remains.closings(ENCODING, 9.0)
    gap, closed = [STORE.decode(value, CallEvent) for value in of(EVENTS, closings)]
    assert [(one.kind.value, one.event_counter, one.audio_sequence) for one in (gap, closed)] == [
        ("GAP", 1, FRAMES + 1),
        ("CLOSED", 2, FRAMES + 2),
    ]
    assert (gap.session_id, gap.conversation_id, gap.organisation, gap.queue) == (str(ID), "call", "org", "q")
    assert (gap.reason, gap.duration_samples, closed.reason) == (Reason.INGEST_LOST, -1, Reason.INGEST_LOST)
    assert {record.key for record in closings} == {b"call"}


@pytest.mark.parametrize("where", ["stored", "spooled"])
def test_a_session_whose_end_was_written_is_not_closed_again(where):
    records = session(closed=Reason.END)
    remains = Remains({ID: entry()}, STORE)
    for topic in (AUDIO, EVENTS):
        if where == "stored":
            remains.take_stored(topic, of(topic, records))
        else:
            assert of(topic, remains.take_spooled(topic, spooled(of(topic, records)))) == of(topic, records)
    assert remains.closings(ENCODING, 9.0) == ([], 0)


def test_where_only_one_topic_has_the_end_the_other_gets_the_same_reason():
    records = session(closed=Reason.END)
    remains = Remains({ID: entry()}, STORE)
    remains.take_stored(AUDIO, of(AUDIO, records))
    remains.take_stored(EVENTS, of(EVENTS, records)[:1])
    closings, _ = remains.closings(ENCODING, 9.0)
    assert not of(AUDIO, closings)
    gap, closed = [STORE.decode(value, CallEvent) for value in of(EVENTS, closings)]
    assert (gap.reason, closed.reason) == (Reason.INGEST_LOST, Reason.END)


def test_a_recovery_that_is_done_again_appends_nothing_new():
    records = session()
    first = Remains({ID: entry()}, STORE)
    first.take_stored(EVENTS, of(EVENTS, records))
    appended = first.take_spooled(AUDIO, spooled(of(AUDIO, records)))
    closings, _ = first.closings(ENCODING, 9.0)
    again = Remains({ID: entry()}, STORE)
    again.take_stored(AUDIO, of(AUDIO, appended + closings))
    again.take_stored(EVENTS, of(EVENTS, records + closings))
    assert again.take_spooled(AUDIO, spooled(of(AUDIO, records))) == []
    assert again.closings(ENCODING, 10.0) == ([], 0)


def test_a_session_no_journal_knows_is_appended_and_closed_by_what_its_records_say():
    records = session(OTHER)
    remains = Remains({}, STORE)
    assert of(AUDIO, remains.take_spooled(AUDIO, spooled(of(AUDIO, records)))) == of(AUDIO, records)
    assert of(EVENTS, remains.take_spooled(EVENTS, spooled(of(EVENTS, records)))) == of(EVENTS, records)
    closings, lost = remains.closings(ENCODING, 9.0)
    assert lost == 1
    assert [one[:2] for one in frames(of(AUDIO, closings))] == [("GAP", FRAMES + 1), ("CLOSED", FRAMES + 2)]
    assert STORE.decode(of(EVENTS, closings)[0], CallEvent).organisation == "org"


def test_a_session_of_which_nothing_is_anywhere_is_announced_all_the_same():
    closings, lost = Remains({ID: entry()}, STORE).closings(ENCODING, 9.0)
    assert lost == 1
    assert [one[:3] for one in frames(of(AUDIO, closings))] == [("GAP", 0, "INGEST_LOST"), ("CLOSED", 1, "INGEST_LOST")]


def test_ticks_are_left_out_and_what_cannot_be_read_is_passed_on():
    remains = Remains({}, STORE)
    tick = Stored(None, ENCODING.tick(AUDIO, 1.0))
    event_tick = Stored(None, ENCODING.tick(EVENTS, 1.0))
    bad = Stored(b"call", b"\0\0\0\0\1rubbish")
    assert remains.take_spooled(AUDIO, [tick, bad]) == [Outgoing(AUDIO, b"call", bad.value)]
    assert remains.take_spooled(EVENTS, [event_tick, bad]) == [Outgoing(EVENTS, b"call", bad.value)]
    assert remains.unreadable == 2
    assert remains.closings(ENCODING, 1.0) == ([], 0)


def test_records_of_other_sessions_on_the_topic_mean_nothing():
    remains = Remains({ID: entry()}, STORE)
    remains.take_stored(AUDIO, of(AUDIO, session(OTHER)))
    remains.take_stored(EVENTS, [*of(EVENTS, session(OTHER)), b"rubbish"])
    closings, lost = remains.closings(ENCODING, 9.0)
    assert lost == 1
    assert decode(of(AUDIO, closings), STORE).session_id[0].tobytes() == ID.bytes
