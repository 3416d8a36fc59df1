"""The board shows what it was told, and knows when a call is over at the far end."""

import io

from rich.console import Console

from audio.frames import FrameEncoder, decode
from callstream.demo.board import Board
from schemas.codec import SchemaStore
from schemas.records import ActivityWindow, AudioFrame, Origin, RecordingEvent, SessionInfo, SilenceEvent
from schemas.symbols import ActivityKind, Channel, FrameKind, RecordingEventKind, SilenceEventKind

STORE = SchemaStore()
NOWHERE = Origin(topic="", partition=0, offset=0, index=0)
SHARED = {"conversation_id": "c", "session_id": "s", "origin": NOWHERE}


def tell(board: Board, *frames: AudioFrame) -> None:
    encode = FrameEncoder(STORE).encode
    board.frames(0, decode([encode(frame) for frame in frames], STORE), [b"c"] * len(frames))


def frame(sequence: int, kind: FrameKind, **values) -> AudioFrame:
    return AudioFrame(kind=kind, session_id=b"s" * 16, sequence=sequence, sample_rate_hz=8000, **values)


def drawn(board: Board) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(board.table())
    return console.file.getvalue()


def test_a_call_goes_from_waiting_over_live_to_settled() -> None:
    board = Board([("c", "demo")])
    row = board.rows["c"]
    opened = frame(0, FrameKind.OPENED, payload=STORE.encode(SessionInfo(conversation_id="c")))
    tell(board, opened, frame(1, FrameKind.AUDIO, position_samples=0, duration_samples=1600, payload=b"\xff" * 3200))
    assert (row.state, row.frames, row.position_samples) == ("live", 1, 1600)
    tell(board, frame(2, FrameKind.RESUMED, duration_samples=24000), frame(3, FrameKind.CLOSED))
    assert (row.state, row.remark, board.settled) == ("closed", "paused 3.0 s", False)
    for side in (Channel.EXTERNAL, Channel.INTERNAL):
        board.activity(ActivityWindow(kind=ActivityKind.TOTAL, channel=side, **SHARED))
    assert not board.settled
    board.recording(RecordingEvent(kind=RecordingEventKind.SEGMENT_SEALED, **SHARED))
    assert board.settled


def test_a_repeated_frame_counts_once() -> None:
    board = Board([("c", "demo")])
    again = frame(0, FrameKind.AUDIO, position_samples=0, duration_samples=80, payload=b"\xff" * 160)
    tell(board, again, again)
    assert board.rows["c"].frames == 1


def test_records_of_other_conversations_change_nothing() -> None:
    board = Board([("mine", "demo")])
    tell(board, frame(0, FrameKind.AUDIO, position_samples=0, payload=b"\xff"))
    board.silence(SilenceEvent(kind=SilenceEventKind.SILENCE, **SHARED))
    board.activity(ActivityWindow(kind=ActivityKind.TOTAL, **SHARED))
    board.recording(RecordingEvent(kind=RecordingEventKind.SEGMENT_SEALED, **SHARED))
    assert board.line() == "1 calls, 0 live, 0 done: 0 frames stored, 0 silences found"


def test_the_table_shows_level_and_speech_of_each_side() -> None:
    board = Board([("c", "demo")])
    board.activity(ActivityWindow(kind=ActivityKind.WINDOW, channel=Channel.EXTERNAL, level_dbfs=-30.0, **SHARED))
    board.silence(SilenceEvent(kind=SilenceEventKind.SPEECH_STARTED, channel=Channel.EXTERNAL, **SHARED))
    board.silence(SilenceEvent(kind=SilenceEventKind.SILENCE, channel=Channel.INTERNAL, **SHARED))
    text = drawn(board)
    assert "██████······ speech" in text
    assert board.rows["c"].silences == 1


def test_the_table_of_many_calls_ends_with_how_many_more_there_are() -> None:
    board = Board([(f"conversation-{number}", "demo") for number in range(30)])
    assert "… and 10 more calls" in drawn(board)
