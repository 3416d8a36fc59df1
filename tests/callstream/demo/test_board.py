"""The board shows what it was told, and knows when a call is over at the far end."""

import io

from rich.console import Console

from audio.frames import FrameEncoder, decode
from callstream.demo.board import Board, CallRow
from schemas.codec import SchemaStore
from schemas.records import (
    ActivityWindow,
    AudioFrame,
    BotTurn,
    LossReport,
    Origin,
    RecordingEvent,
    SessionInfo,
    SilenceEvent,
)
from schemas.symbols import (
    ActivityKind,
    BotTurnKind,
    Channel,
    FrameKind,
    LossReportKind,
    RecordingEventKind,
    SilenceEventKind,
    Source,
    TurnState,
)

STORE = SchemaStore()
NOWHERE = Origin(topic="", partition=0, offset=0, index=0)
SHARED = {"conversation_id": "c", "session_id": "s", "origin": NOWHERE}


def board_of(conversation: str, name: str, **values: int) -> Board:
    return Board([CallRow(conversation, name, **values)], Source.AUDIOHOOK)


def tell(board: Board, *frames: AudioFrame) -> None:
    encode = FrameEncoder(STORE).encode
    board.frames(0, decode([encode(frame) for frame in frames], STORE), [b"c"] * len(frames))


def frame(sequence: int, kind: FrameKind, **values) -> AudioFrame:
    shared = {"session_id": b"s" * 16, "sample_rate_hz": 8000, "source": Source.AUDIOHOOK}
    return AudioFrame(kind=kind, sequence=sequence, **(shared | values))


def loss(kind: LossReportKind, channel: Channel = Channel.ALL, **values) -> LossReport:
    counts = {"discarded_ms": 0, "paused_ms": 0, "stalls": 0, "cumulative_lost": 0, "cumulative_expected": 0}
    return LossReport(kind=kind, channel=channel, source=Source.AUDIOHOOK, **SHARED, **(counts | values))


def drawn(board: Board, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(board.table(width))
    return console.file.getvalue()


def test_a_call_goes_from_waiting_over_live_to_settled() -> None:
    board = board_of("c", "demo", wanted_turns=1)
    row = board.rows["c"]
    opened = frame(0, FrameKind.OPENED, payload=STORE.encode(SessionInfo(conversation_id="c")))
    tell(board, opened, frame(1, FrameKind.AUDIO, position_samples=0, duration_samples=1600, payload=b"\xff" * 3200))
    assert (row.state, row.frames, row.position_samples) == ("live", 1, 1600)
    tell(board, frame(2, FrameKind.RESUMED, duration_samples=24000), frame(3, FrameKind.CLOSED))
    assert (row.state, board.settled) == ("closed", False)
    board.record(loss(LossReportKind.FINAL))
    for side in (Channel.EXTERNAL, Channel.INTERNAL):
        board.record(ActivityWindow(kind=ActivityKind.TOTAL, channel=side, **SHARED))
    assert not board.settled
    board.record(BotTurn(kind=BotTurnKind.OUTPUT, **SHARED))
    assert not board.settled
    board.record(BotTurn(kind=BotTurnKind.TURN_END, state=TurnState.ANSWERED, response_ms=12.0, **SHARED))
    assert not board.settled
    board.record(RecordingEvent(kind=RecordingEventKind.SEGMENT_SEALED, **SHARED))
    assert board.settled


def test_a_repeated_frame_counts_once() -> None:
    board = board_of("c", "demo")
    again = frame(0, FrameKind.AUDIO, position_samples=0, duration_samples=80, payload=b"\xff" * 160)
    tell(board, again, again)
    assert board.rows["c"].frames == 1


def test_a_session_of_another_source_is_not_the_call() -> None:
    board = board_of("c", "demo")
    tell(board, frame(0, FrameKind.AUDIO, position_samples=0, duration_samples=80, source=Source.MEDIA_STREAMS))
    assert board.rows["c"].frames == 0


def test_turns_of_the_bot_are_counted_and_the_last_latency_shown() -> None:
    board = board_of("c", "demo")
    for response_ms in (12.0, 34.0):
        board.record(BotTurn(kind=BotTurnKind.TURN_END, state=TurnState.ANSWERED, response_ms=response_ms, **SHARED))
    board.record(BotTurn(kind=BotTurnKind.TURN_END, state=TurnState.FAILED, **SHARED))
    assert "2 (34 ms)" in drawn(board)


def test_records_of_other_conversations_change_nothing() -> None:
    board = board_of("mine", "demo")
    tell(board, frame(0, FrameKind.AUDIO, position_samples=0, payload=b"\xff"))
    board.record(SilenceEvent(kind=SilenceEventKind.SILENCE, **SHARED))
    board.record(ActivityWindow(kind=ActivityKind.TOTAL, **SHARED))
    board.record(RecordingEvent(kind=RecordingEventKind.SEGMENT_SEALED, **SHARED))
    assert board.line() == "1 calls, 0 live, 0 done: 0 frames stored, 0 silences found"


def test_the_table_shows_level_and_speech_of_each_side() -> None:
    board = board_of("c", "demo")
    board.record(ActivityWindow(kind=ActivityKind.WINDOW, channel=Channel.EXTERNAL, level_dbfs=-30.0, **SHARED))
    board.record(SilenceEvent(kind=SilenceEventKind.SPEECH_STARTED, channel=Channel.EXTERNAL, **SHARED))
    board.record(SilenceEvent(kind=SilenceEventKind.SILENCE, channel=Channel.INTERNAL, **SHARED))
    text = drawn(board)
    assert "████···· speech" in text
    assert board.rows["c"].silences == 1


def test_the_table_of_many_calls_ends_with_how_many_more_there_are() -> None:
    board = Board([CallRow(f"conversation-{number}", "demo") for number in range(30)], Source.AUDIOHOOK)
    assert "… and 10 more calls" in drawn(board)


def test_losses_are_summed_over_the_windows_until_the_final_report_says_it_all() -> None:
    board = board_of("c", "demo")
    losses = board.rows["c"].losses
    board.record(loss(LossReportKind.WINDOW, discarded_ms=1200.0, stalls=1))
    board.record(loss(LossReportKind.WINDOW, paused_ms=3000.0))
    board.record(loss(LossReportKind.WINDOW, Channel.EXTERNAL, paused_ms=3000.0))
    board.record(loss(LossReportKind.ALARM_RAISED, stalls=-1))
    assert (losses.skipped_ms, losses.paused_ms, losses.stalls, losses.lost_ratio) == (1200, 3000, 1, None)
    board.record(loss(LossReportKind.FINAL, discarded_ms=1250.0, paused_ms=3000.0, stalls=2))
    assert (losses.skipped_ms, losses.paused_ms, losses.stalls, losses.final) == (1250, 3000, 2, True)
    assert " 1.2 s  3.0 s " in " ".join(drawn(board).split(" ")).replace("   ", "  ")


def test_the_loss_of_a_numbered_source_is_shown_as_a_part_of_what_was_expected() -> None:
    board = board_of("c", "demo")
    board.record(loss(LossReportKind.WINDOW, cumulative_lost=1, cumulative_expected=50, lost_signed=1))
    assert "2.0%" in drawn(board)


def test_a_narrow_table_keeps_one_line_a_call_and_the_columns_that_matter_most() -> None:
    board = Board([CallRow(f"{number:08}-conversation", "silence 0xFF") for number in range(3)], Source.AUDIOHOOK)
    for width in (80, 100, 120, 140):
        lines = drawn(board, width).rstrip().splitlines()
        assert all(len(line) <= width for line in lines)
        assert sum("silence 0xFF" in line for line in lines) == 3
    assert "overtalk" not in drawn(board, 80)
    assert "overtalk" in drawn(board, 140)
