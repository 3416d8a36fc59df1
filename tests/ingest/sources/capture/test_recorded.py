import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.wav_reading import WavHead
from ingest.protocol import AudioReceived, Mark, SessionClosed, SessionOpened
from ingest.sources.capture.findings import Findings
from ingest.sources.capture.recorded import RecordedAudio, layout
from ingest.sources.capture.wanted import Timed, Wanted
from schemas.symbols import Channels, ClosedBy, Codec, FrameKind, Reason, Source

BYTES = bytes(range(256)) * 10


def taken(  # noqa: PLR0913 - what a file may be
    data: bytes,
    piece: int = 1000,
    *,
    codec: Codec = Codec.PCMU,
    channel_count: int = 1,
    data_bytes: int | None = None,
    wanted: Wanted | None = None,
) -> tuple[list[Timed], Findings]:
    findings = Findings()
    head = WavHead(codec, channel_count, 8000, 58, len(data) if data_bytes is None else data_bytes)
    machine = RecordedAudio(head, wanted or Wanted("file", began_s=1000.0, frame_ms=20), findings)
    timed = [one for at in range(0, len(data), piece) for one in machine.feed(data[at : at + piece])]
    return timed + machine.end(Reason.END), findings


def test_a_file_is_one_session_of_records_of_equal_length() -> None:
    timed, findings = taken(BYTES)
    (_, opened), *audio, (ended_s, closed) = timed
    assert isinstance(opened, SessionOpened)
    assert (opened.source, opened.codec, opened.channels) == (Source.WAV, Codec.PCMU, Channels.MIXED)
    assert (opened.info.conversation_id, opened.info.source_name) == ("file", "wav")
    records = [fact for _, fact in audio if isinstance(fact, AudioReceived)]
    assert [(one.position_samples, one.duration_samples) for one in records] == [
        (index * 160, 160) for index in range(16)
    ]
    assert b"".join(one.payload for one in records) == BYTES
    assert {(one.stream, one.source_sequence_bits, one.source_sequence) for one in records} == {(-1, 0, -1)}
    assert [round(at_s - 1000, 3) for at_s, _ in audio] == [round(0.02 * (index + 1), 3) for index in range(16)]
    assert closed == SessionClosed(opened.key, Reason.END, 2560, ClosedBy.LOCAL)
    assert round(ended_s - 1000, 3) == 0.32
    assert (findings.sessions, findings.packets, findings.audio_bytes, findings.cut_off_bytes) == (1, 16, 2560, 0)


@given(st.binary(max_size=3000), st.integers(1, 700), st.sampled_from([Codec.PCMU, Codec.L16_LE]), st.integers(1, 2))
def test_any_pieces_give_the_same_records_and_every_whole_sample(
    data: bytes, piece: int, codec: Codec, channel_count: int
) -> None:
    whole, findings = taken(data, max(1, len(data)), codec=codec, channel_count=channel_count)
    assert taken(data, piece, codec=codec, channel_count=channel_count) == (whole, findings)
    payload = b"".join(fact.payload for _, fact in whole if isinstance(fact, AudioReceived))
    block = channel_count * (2 if codec is Codec.L16_LE else 1)
    assert payload == data[: len(data) - len(data) % block]
    assert findings.cut_off_bytes == len(data) % block


def test_what_follows_the_samples_is_no_audio() -> None:
    timed, findings = taken(BYTES + b"LIST....", data_bytes=len(BYTES))
    assert sum(len(fact.payload) for _, fact in timed if isinstance(fact, AudioReceived)) == len(BYTES)
    assert findings.cut_off_bytes == 0


def test_a_file_shorter_than_it_says_gives_what_there_is() -> None:
    timed, findings = taken(BYTES, data_bytes=len(BYTES) + 500)
    assert sum(len(fact.payload) for _, fact in timed if isinstance(fact, AudioReceived)) == len(BYTES)
    assert findings.cut_off_bytes == 500


def test_without_a_size_the_samples_go_to_the_end() -> None:
    _, findings = taken(BYTES, data_bytes=-1)
    assert (findings.audio_bytes, findings.cut_off_bytes) == (len(BYTES), 0)


def test_told_to_stop_the_session_ends_behind_a_gap_of_what_is_left() -> None:
    machine = RecordedAudio(WavHead(Codec.PCMU, 1, 8000, 58, 8000), Wanted("file", frame_ms=20), Findings())
    machine.feed(bytes(400))
    (_, gap), (_, closed) = machine.end(Reason.DRAIN, missing=Reason.DRAIN)
    assert isinstance(gap, Mark)
    assert (gap.kind, gap.reason, gap.position_samples, gap.duration_samples) == (
        FrameKind.GAP,
        Reason.DRAIN,
        320,
        7680,
    )
    assert isinstance(closed, SessionClosed)
    assert (closed.reason, closed.position_samples) == (Reason.DRAIN, 320)


def test_an_empty_file_is_a_session_without_audio() -> None:
    timed, _ = taken(b"")
    assert [type(fact) for _, fact in timed] == [SessionOpened, SessionClosed]


def test_two_channels_are_the_customer_and_the_agent_unless_wanted_otherwise() -> None:
    assert layout(None, 2) is Channels.EXTERNAL_INTERNAL
    assert layout(Channels.INTERNAL_EXTERNAL, 2) is Channels.INTERNAL_EXTERNAL
    assert layout(None, 1) is Channels.MIXED
    assert layout(Channels.EXTERNAL, 1) is Channels.EXTERNAL


@pytest.mark.parametrize(("wanted", "count"), [(Channels.EXTERNAL, 2), (Channels.EXTERNAL_INTERNAL, 1)])
def test_channels_that_are_not_there_cannot_be_wanted(wanted: Channels, count: int) -> None:
    with pytest.raises(ValueError, match=f"has {count} channel"):
        layout(wanted, count)
