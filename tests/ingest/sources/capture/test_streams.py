from ingest.sources.capture.payload_types import Meaning
from ingest.sources.capture.streams import Session, Stream, Way
from schemas.symbols import Channels, Codec

WAY = Way(1, b"a", b"b")


def test_samples_of_another_clock_are_counted_in_the_sessions_rate() -> None:
    session = Session("key", Meaning(Codec.PCMU, 8000), 5.0)
    assert [session.in_own_rate(320, clock_hz) for clock_hz in (8000, 16_000, 48_000)] == [320, 160, 53]
    assert session.in_own_rate(-1, 16_000) == -1


def test_a_session_is_as_young_as_its_newest_stream_and_as_long_as_its_longest() -> None:
    session = Session("key", Meaning(Codec.PCMU, 8000), 5.0)
    assert (session.last_s, session.head_samples) == (5.0, 0)
    one, other = (Stream(WAY, session, Channels.MIXED, at_s) for at_s in (6.0, 7.0))
    one.placement(8000).place(1, 0, 160, 6.0)
    other.placement(16_000).place(1, 0, 320, 7.0)
    assert session.last_s == 7.0
    assert session.head_samples == 2 * 8000 + 160
