import pytest

from audio.levels import FLOOR_DBFS
from processors.silence.breaks import EMPTY_WINDOWS
from processors.silence.logic import SilenceProcessor
from processors.silence.tuning import Tuning
from runtime.errors import StateCorrupted
from schemas.symbols import Channel, Channels, Codec, EndedBy, FrameKind, Reason, SilenceEventKind
from tests.processors.silence.calls import BASE_S, Call, Run, log_of, run, sine

FIVE_S = 40_000
LOUD = sine(0.1, FIVE_S)
QUIET = bytes(2 * FIVE_S)


@pytest.mark.parametrize("silence", [b"\xff", b"\x7f"])
def test_frames_of_either_mulaw_zero_are_silent(silence):
    found = run(Call(codec=Codec.PCMU).say(silence * 16_000, 160).close())
    assert [event.kind for event in found.events] == [SilenceEventKind.SILENCE_STARTED, SilenceEventKind.SILENCE]
    assert found.totals[0].silence_ms == 2000
    assert found.totals[0].speech_ms == 0
    assert found.totals[0].level_dbfs == FLOOR_DBFS
    assert found.totals[0].frames_with_signal == 0


def test_a_sine_is_judged_by_its_rms_not_by_its_mean_magnitude():
    """RMS 0.0106 is above 0.01, where its mean magnitude of 0.0095 is below."""
    at_001 = SilenceProcessor(Tuning(on_dbfs=-40, off_dbfs=-40))
    for processor in (at_001, SilenceProcessor()):
        found = Run(processor).feed(log_of(Call().say(sine(0.0106, FIVE_S)).close()))
        assert found.totals[0].speech_ms == 5000
        below = Run(processor).feed(log_of(Call().say(sine(0.0094, FIVE_S)).close()))
        assert below.totals[0].silence_ms == 5000


@pytest.mark.parametrize(("codec", "dtype"), [(Codec.L16_LE, "<i2"), (Codec.L16_BE, ">i2")])
def test_both_byte_orders_have_the_level_of_the_tone(codec, dtype):
    found = run(Call(codec=codec).say(sine(0.1, 8000, dtype)).close())
    assert found.windows[0].level_dbfs == pytest.approx(-20, abs=0.01)
    assert found.windows[0].peak_dbfs == pytest.approx(-17, abs=0.1)


@pytest.mark.parametrize("frame_bytes", [1, 7, 160, 641, 1000, 80_000])
def test_the_length_of_frames_does_not_matter(frame_bytes):
    payload = b"\xff" * 3000 + b"\x10\x90" * 3500 + b"\xff" * 6000
    usual = run(Call(codec=Codec.PCMU).say(payload, 160).close())
    found = run(Call(codec=Codec.PCMU).say(payload, frame_bytes).close())
    assert found.spans() == usual.spans()
    assert [w.level_dbfs for w in found.windows] == [w.level_dbfs for w in usual.windows]


def test_an_odd_byte_is_no_sample():
    call = Call()
    call.put(FrameKind.AUDIO, payload=LOUD[:16_001], duration_samples=8000)
    found = run(call.close())
    assert found.totals[0].audio_ms == 1000
    assert found.totals[0].bytes == 16_001


@pytest.mark.parametrize("layout", [Channels.EXTERNAL_INTERNAL, Channels.INTERNAL_EXTERNAL])
def test_each_channel_is_told_by_its_name_whatever_their_order(layout):
    loud_first = layout is Channels.EXTERNAL_INTERNAL
    pairs = bytearray()
    for at in range(0, 2 * 8000, 2):
        loud, quiet = LOUD[at : at + 2], b"\x00\x00"
        pairs += loud + quiet if loud_first else quiet + loud
    found = run(Call(channels=layout).say(bytes(pairs), 640).close())
    assert [(t.channel, t.speech_ms, t.silence_ms) for t in found.totals] == [
        (Channel.EXTERNAL, 1000, 0),
        (Channel.INTERNAL, 0, 1000),
    ]


def test_audio_that_cannot_be_decoded_is_counted_and_not_judged():
    call = Call(codec=Codec.OPUS)
    for _ in range(50):
        call.put(FrameKind.AUDIO, payload=b"opus", duration_samples=160)
        call.position += 160
    found = run(call.close())
    assert found.events == []
    window = found.windows[0]
    assert (window.audio_ms, window.frames, window.bytes) == (1000, 50, 200)
    assert (window.level_dbfs, window.speech_ratio, window.speech_ms) == (None, -1, 0)


def test_a_span_begins_where_its_first_block_began_and_is_announced_when_certain():
    found = run(Call().say(QUIET).say(LOUD).say(QUIET).close())
    assert found.spans() == [
        ("SILENCE_STARTED", "EXTERNAL", 0, -1, "ONGOING"),
        ("SILENCE", "EXTERNAL", 0, FIVE_S, "SPEECH"),
        ("SPEECH_STARTED", "EXTERNAL", FIVE_S, -1, "ONGOING"),
        ("SPEECH", "EXTERNAL", FIVE_S, 2 * FIVE_S, "SILENCE"),
        ("SILENCE_STARTED", "EXTERNAL", 2 * FIVE_S, -1, "ONGOING"),
        ("SILENCE", "EXTERNAL", 2 * FIVE_S, 3 * FIVE_S, "CLOSED"),
    ]
    rows = {record.kind: row for row, record in reversed(found.found) if hasattr(record, "ended_by")}
    assert rows[SilenceEventKind.SPEECH_STARTED] == 250 + 4
    speech = next(event for event in found.events if event.kind is SilenceEventKind.SPEECH)
    assert (speech.duration_ms, speech.level_dbfs) == (5000, pytest.approx(-20, abs=0.01))


def test_a_click_ends_no_silence_and_a_breath_no_speech():
    click = run(Call().say(QUIET).say(LOUD[:1280]).say(QUIET).close())
    assert click.spans(SilenceEventKind.SILENCE) == [("SILENCE", "EXTERNAL", 0, 2 * FIVE_S + 640, "CLOSED")]
    breath = run(Call().say(LOUD).say(QUIET[:3840]).say(LOUD).close())
    assert breath.spans(SilenceEventKind.SPEECH) == [("SPEECH", "EXTERNAL", 0, 2 * FIVE_S + 1920, "CLOSED")]


@pytest.mark.parametrize(
    ("kind", "ended_by"),
    [
        (FrameKind.GAP, EndedBy.GAP),
        (FrameKind.DISCARDED, EndedBy.DISCARD),
        (FrameKind.PAUSED, EndedBy.PAUSE),
    ],
)
def test_no_span_covers_what_did_not_arrive(kind, ended_by):
    call = Call().say(QUIET).mark(kind, 9600, moves=kind is not FrameKind.PAUSED)
    if kind is FrameKind.PAUSED:
        call.mark(FrameKind.RESUMED, 9600)
    found = run(call.say(QUIET).close())
    assert found.spans(SilenceEventKind.SILENCE) == [
        ("SILENCE", "EXTERNAL", 0, FIVE_S, ended_by.value),
        ("SILENCE", "EXTERNAL", FIVE_S + 9600, 2 * FIVE_S + 9600, "CLOSED"),
    ]
    total = found.totals[0]
    paused = kind is FrameKind.PAUSED
    assert (total.missing_ms, total.paused_ms) == ((0, 1200) if paused else (1200, 0))
    assert sum(w.missing_ms + w.paused_ms for w in found.windows) == 1200
    assert (total.audio_ms, total.silence_ms, total.longest_silence_ms) == (10_000, 10_000, 5000)


def test_a_jump_without_a_mark_is_a_gap():
    call = Call().say(QUIET)
    call.position += 1234
    found = run(call.say(QUIET).close())
    assert found.spans(SilenceEventKind.SILENCE)[0][3:] == (FIVE_S, "GAP")
    assert found.totals[0].missing_ms == pytest.approx(154.25)


def test_a_mark_about_what_was_already_skipped_ends_nothing_again():
    call = Call().say(QUIET)
    call.position += 160
    call.say(QUIET)
    call.put(FrameKind.GAP, position_samples=FIVE_S, duration_samples=160)
    found = run(call.say(QUIET).close())
    assert len(found.spans(SilenceEventKind.SILENCE)) == 2


def test_samples_behind_the_head_are_counted_and_not_analysed_again():
    call = Call().say(QUIET)
    call.position -= 8000
    found = run(call.say(LOUD[:16_000]).say(QUIET).close())
    assert found.totals[0].audio_ms == 10_000
    assert found.totals[0].speech_ms == 0
    assert found.totals[0].frames == 250 + 50 + 250


def test_repeats_count_once():
    call = Call().say(QUIET).close()
    again = Run().feed([item for item in log_of(call) for _ in range(3)])
    assert [record for _, record in again.found] == [record for _, record in run(call).found]


def test_a_started_block_counts_when_half_of_it_arrived():
    enough = run(Call().say(QUIET[: 2 * 3280]).close())
    assert enough.spans(SilenceEventKind.SILENCE) == [("SILENCE", "EXTERNAL", 0, 3280, "CLOSED")]
    short = run(Call().say(QUIET[: 2 * 3279]).close())
    assert short.spans(SilenceEventKind.SILENCE) == [("SILENCE", "EXTERNAL", 0, 3200, "CLOSED")]


def stereo(*parts: tuple[bytes, bytes]) -> bytes:
    joined = bytearray()
    for left, right in parts:
        for at in range(0, len(left), 2):
            joined += left[at : at + 2] + right[at : at + 2]
    return bytes(joined)


def test_dead_air_is_announced_after_its_minimum_and_again_as_an_alarm():
    call = Call(channels=Channels.EXTERNAL_INTERNAL)
    found = run(call.say(stereo((LOUD, QUIET), (QUIET, QUIET), (QUIET, QUIET), (QUIET, LOUD)), 640).close())
    dead = [event for event in found.events if event.channel is Channel.ALL]
    assert [(e.kind.value, e.start_samples, e.end_samples, e.alarm, e.ended_by.value) for e in dead] == [
        ("DEAD_AIR_STARTED", FIVE_S, -1, False, "ONGOING"),
        ("DEAD_AIR_STARTED", FIVE_S, -1, True, "ONGOING"),
        ("DEAD_AIR", FIVE_S, 3 * FIVE_S, True, "SPEECH"),
    ]
    rows = [row for row, record in found.found if record in dead]
    assert rows[:2] == [250 + 100 - 1, 250 + 400 - 1]
    assert {total.dead_air_ms for total in found.totals} == {10_000}


def test_overtalk_is_both_sides_speaking_for_its_minimum():
    call = Call(channels=Channels.EXTERNAL_INTERNAL)
    short = (LOUD[:2880], LOUD[:2880])
    found = run(call.say(stereo((LOUD, QUIET), short, (QUIET, LOUD), (LOUD, LOUD), (QUIET, LOUD)), 640).close())
    over = [event for event in found.events if event.kind is SilenceEventKind.OVERTALK]
    assert [(e.start_samples, e.end_samples) for e in over] == [(2 * FIVE_S + 1440, 3 * FIVE_S + 1440)]
    assert found.totals[0].overtalk_ms == 5000


def test_one_channel_of_two_alone_is_no_dead_air_but_both_mixed_are():
    assert all(event.channel is Channel.EXTERNAL for event in run(Call().say(QUIET).close()).events)
    mixed = run(Call(channels=Channels.MIXED).say(QUIET).close())
    assert SilenceEventKind.DEAD_AIR in {event.kind for event in mixed.events}


def test_a_window_comes_with_the_record_that_completes_it_and_names_its_records():
    found = run(Call().open().say(LOUD[:40_000]).close())
    rows = [row for row, record in found.found if record in found.windows]
    assert rows == [50, 100, 126]
    assert [(w.start_samples, w.end_samples, w.audio_ms) for w in found.windows] == [
        (0, 8000, 1000),
        (8000, 16_000, 1000),
        (16_000, 24_000, 500),
    ]
    assert [(w.first_sequence, w.last_sequence, w.frames, w.bytes) for w in found.windows] == [
        (1, 50, 50, 16_000),
        (51, 100, 50, 16_000),
        (101, 125, 25, 8000),
    ]
    assert [w.frames_with_signal for w in found.windows] == [50, 50, 25]


def test_clipped_samples_are_counted():
    found = run(Call(codec=Codec.PCMU).say(b"\xff" * 100 + b"\x00\x80\x00" + b"\xff" * 100).close())
    assert found.totals[0].clipped_samples == 3


def test_a_long_hole_has_a_bounded_number_of_windows_that_cover_it():
    call = Call().say(QUIET)
    call.mark(FrameKind.GAP, 3600 * 8000)
    found = run(call.say(QUIET).close())
    assert len(found.windows) == 5 + 1 + EMPTY_WINDOWS + 1 + 5
    ends = [window.end_samples for window in found.windows]
    assert [window.start_samples for window in found.windows] == [0, *ends[:-1]]
    assert sum(window.missing_ms for window in found.windows) == 3_600_000


def test_everything_known_of_the_session_stands_in_every_record():
    call = Call(3, captured_at_s=BASE_S + 7).open(organisation="acme", queue="q", agent="eve").say(QUIET).close()
    run_of = Run(SilenceProcessor(Tuning(settings_hash="0123456789abcdef"))).feed(log_of(call))
    for _, record in run_of.found:
        assert (record.conversation_id, record.organisation) == ("conversation-3", "acme")
        assert (record.queue, record.agent, record.partial) == ("q", "eve", False)
        assert record.settings_hash == "0123456789abcdef"
        assert record.anchor_at_us == record.captured_at_us == round((BASE_S + 7) * 1e6)


def test_what_follows_an_info_is_told_with_it_and_what_came_before_without():
    call = Call().open().say(QUIET).open(agent="eve").say(QUIET).close()
    assert [w.agent for w in run(call).windows] == [None] * 5 + ["eve"] * 5


def test_a_session_whose_beginning_was_not_seen_is_partial():
    call = Call().open().say(QUIET).close()
    found = Run().feed(log_of(call)[100:])
    assert found.windows
    assert {record.partial for _, record in found.found} == {True}
    assert {record.organisation for _, record in found.found} == {None}


def test_other_media_in_one_session_are_summed_up_apart():
    call = Call().say(QUIET)
    call.channels = Channels.EXTERNAL_INTERNAL
    found = run(call.say(QUIET, 640).close())
    assert [(total.channel, total.audio_ms) for total in found.totals] == [
        (Channel.EXTERNAL, 5000),
        (Channel.EXTERNAL, 2500),
        (Channel.INTERNAL, 2500),
    ]


def test_an_idle_session_is_closed_by_stream_time_in_the_order_of_sessions_and_channels():
    calls = [Call(number, channels=Channels.EXTERNAL_INTERNAL).say(QUIET[:24_000], 640) for number in range(3)]
    found = run(*calls)
    emitted = []
    found.processor.expire(1000 + 14 * 60_000, found.state, emitted.append)
    assert emitted == []
    found.processor.expire(1000 + 15 * 60_000, found.state, emitted.append)
    order = [(record.session_id, record.channel.code) for record in emitted]
    assert order == sorted(order)
    assert len({record.session_id for record in emitted}) == 3
    assert {e.ended_by for e in emitted if hasattr(e, "ended_by")} == {EndedBy.IDLE}
    found.processor.expire(1000 + 31 * 60_000, found.state, emitted.append)
    assert found.processor.snapshot(found.state) == SilenceProcessor().snapshot(found.processor.new_state())
    calls[0].say(LOUD)
    fresh = Run(found.processor).feed(log_of(calls[0]))
    again = Run(found.processor)
    again.state = found.state
    assert again.feed(log_of(calls[0])).found == fresh.found


def test_a_session_that_returns_from_idle_is_partial():
    call = Call().open().say(QUIET)
    found = run(call)
    found.processor.expire(1000 + 16 * 60_000, found.state, lambda _record: None)
    later = Call()
    later.sequence, later.position = call.sequence, call.position
    found.found.clear()
    found.feed(log_of(later.say(QUIET).close(reason=Reason.END)))
    assert {record.partial for _, record in found.found} == {True}
    assert found.totals[0].audio_ms == 5000


def test_the_state_is_less_than_a_kilobyte_per_call():
    channels = Channels.EXTERNAL_INTERNAL
    calls = [Call(number, channels=channels).open(organisation="acme").say(LOUD[:12_000]) for number in range(40)]
    found = run(*calls)
    assert len(found.processor.snapshot(found.state)) < 40 * 500


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"x", lambda _: b"", lambda b: b"\xff" * len(b)])
def test_a_damaged_state_is_an_error_with_a_name(damage):
    found = run(Call().say(QUIET))
    with pytest.raises(StateCorrupted):
        found.processor.restore(1, damage(found.processor.snapshot(found.state)))
    with pytest.raises(StateCorrupted):
        found.processor.restore(2, found.processor.snapshot(found.state))


@pytest.mark.parametrize("poll", [1, 10_000])
def test_audio_ends_a_pause_even_when_nobody_says_so(poll):
    call = Call().say(QUIET).mark(FrameKind.PAUSED).say(QUIET)
    call.position += 800
    found = run(call.say(QUIET).close(), poll=poll)
    assert (found.totals[0].paused_ms, found.totals[0].missing_ms) == (0, 100)
    assert [span[4] for span in found.spans(SilenceEventKind.SILENCE)] == ["PAUSE", "GAP", "CLOSED"]


def test_blocks_of_a_rate_that_50_does_not_divide_are_whole_every_second():
    call = Call(sample_rate_hz=11_025).say(QUIET[: 2 * 22_050], 442)
    found = run(call.close())
    assert found.spans(SilenceEventKind.SILENCE) == [("SILENCE", "EXTERNAL", 0, 22_050, "CLOSED")]
    announced = next(row for row, r in found.found if r.kind is SilenceEventKind.SILENCE_STARTED)
    assert announced == 12
    assert [window.silence_ms for window in found.windows] == [1000, 1000]


def test_dead_air_is_not_announced_while_its_end_is_only_not_yet_certain():
    almost = QUIET[: 2 * 15_840]
    call = Call(channels=Channels.EXTERNAL_INTERNAL)
    found = run(call.say(stereo((LOUD, LOUD), (almost, almost), (LOUD, LOUD)), 640).close())
    assert not [event for event in found.events if event.kind.value.startswith("DEAD_AIR")]
