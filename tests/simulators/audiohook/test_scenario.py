import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.audiohook import demo_call, media
from simulators.audiohook.media import Audio
from simulators.audiohook.scenario import (
    Close,
    Discard,
    Drop,
    Frame,
    Pause,
    Scenario,
    Stall,
    expected_actions,
    expected_truth,
)
from simulators.conversation import script

MS = 8


@given(st.integers(min_value=1, max_value=20_000), st.integers(min_value=20, max_value=200), st.data())
def test_frames_are_the_audio_but_for_what_is_skipped(length, frame_ms, data):
    payload = bytes(i * 7 % 251 for i in range(2 * length))
    actions, kept, at = [], b"", 0
    for _ in range(data.draw(st.integers(0, 4))):
        start = data.draw(st.integers(at, length))
        duration, skips = data.draw(st.integers(0, 3000)), data.draw(st.booleans())
        actions.append(data.draw(st.sampled_from([Pause, Discard]))(start, duration, skips))
        kept += payload[2 * at : 2 * start]
        at = min(start + (duration if skips else 0), length)
        if at == length:
            break
    kept += payload[2 * at :]
    cut = Scenario("cut", Audio(payload), tuple(actions), frame_ms)
    frames = list(cut.frames())
    assert b"".join(frames) == kept
    assert all(0 < len(frame) <= frame_ms * MS * 2 and len(frame) % 2 == 0 for frame in frames)
    assert b"".join(cut.frames(("internal",))) == kept[1::2]


def test_frames_are_full_but_for_the_last_and_those_an_action_cuts():
    scene = Scenario("x", media.silence(1000), (Stall(250 * MS, 100 * MS),), frame_ms=100)
    sizes = [len(frame) // 16 for frame in scene.frames()]
    assert sizes == [100, 100, 50, 100, 100, 100, 100, 100, 100, 100, 50]


def test_the_same_frames_are_shared_by_all_calls():
    scene = demo_call.demo()
    assert scene.steps() is demo_call.demo().steps()


@pytest.mark.parametrize("ending", [Drop(300 * MS), Close(300 * MS)])
def test_nothing_follows_an_end(ending):
    steps = Scenario("x", media.silence(1000), (ending,)).steps()
    assert steps[-1] is ending
    assert sum(step.samples for step in steps if isinstance(step, Frame)) == 300 * MS


@pytest.mark.parametrize("frame_ms", [19, 201])
def test_a_frame_length_the_platform_does_not_use_is_refused(frame_ms):
    with pytest.raises(ValueError, match="20 to 200"):
        Scenario("x", media.silence(100), frame_ms=frame_ms)


def test_actions_that_overlap_or_step_back_are_refused():
    with pytest.raises(ValueError, match="before"):
        Scenario("x", media.silence(1000), (Discard(100, 50), Stall(149, 10)))
    with pytest.raises(ValueError, match="before"):
        Scenario("x", media.silence(1000), (Stall(100, 50), Stall(99, 10)))
    assert Scenario("x", media.silence(1000), (Discard(100, 50, skips=False), Stall(100, 10))).steps()


def test_positions_of_actions_count_what_pauses_and_discards_leave_out():
    scene = Scenario("x", media.silence(1000), (Pause(800, 400), Discard(1200, 80, skips=False), Stall(2000, 8)))
    assert [placed.position_samples for placed in expected_actions(scene)] == [800, 1200, 2080]


def test_the_demo_keeps_every_scripted_pause_whole():
    spans = expected_truth(demo_call.demo())
    pauses = [span for span in spans if span.kind == "pause"]
    assert len(pauses) == len(script.load().pauses)
    assert all(span.intact for span in pauses)
    assert all(span.intact for span in spans if span.kind == "dead_air")
    assert [span.intact for span in spans if span.kind == "overtalk"] == [False, False, True]


def test_the_demos_edits_last_what_they_should_and_never_meet():
    edits = (Discard, Pause, Stall)
    placed = [placed for placed in expected_actions(demo_call.demo()) if isinstance(placed.action, edits)]
    assert [(type(p.action).__name__, p.action.duration_samples // MS) for p in placed] == [
        ("Stall", 900),
        ("Discard", 1200),
        ("Pause", 3000),
    ]
    ends = [p.position_samples + p.action.duration_samples for p in placed]
    assert all(end < after.position_samples for end, after in zip(ends, placed[1:], strict=False))


def test_true_spans_move_by_what_was_held_before_them():
    shipped = script.load()
    shifts = [
        span.start_samples - true.start_samples
        for span, true in zip(
            (span for span in expected_truth(demo_call.demo()) if span.kind == "pause"), shipped.pauses, strict=True
        )
    ]
    assert set(shifts) == {0, 1200 * MS, 4200 * MS}
    longest = max(shipped.dead_air, key=lambda span: span.end_samples - span.start_samples)
    moved = [span for span in expected_truth(demo_call.demo()) if span.kind == "dead_air"]
    found = max(moved, key=lambda span: span.end_samples - span.start_samples)
    assert found.end_samples - found.start_samples == longest.end_samples - longest.start_samples


def test_audio_expected_silent_is_silent_where_the_truth_was_moved_to():
    scene = demo_call.demo()
    timeline = bytearray()
    for step in scene.steps(("internal",)):
        if isinstance(step, Frame):
            timeline += step.payload
        elif isinstance(step, Pause | Discard):
            timeline += b"\x00" * step.duration_samples
    for span in expected_truth(scene):
        if span.kind == "pause" and span.channel == 1:
            assert set(timeline[span.start_samples : span.end_samples]) <= {0xFF, 0x7F}


def test_a_skipping_edit_marks_what_it_cuts_and_moves_nothing():
    shipped = script.load()
    pause = next(span for span in shipped.pauses if span.at == "inside")
    cut = Scenario("x", media.conversation(), (Discard(pause.end_samples - 1, 800),), conversation=shipped)
    spans = [span for span in expected_truth(cut) if span.kind == "pause"]
    assert [(span.start_samples, span.end_samples) for span in spans] == [
        (true.start_samples, true.end_samples) for true in shipped.pauses
    ]
    hit = [span for span in spans if span.start_samples == pause.start_samples]
    assert not hit[0].intact
    touching = Scenario("x", media.conversation(), (Discard(pause.end_samples, 8),), conversation=shipped)
    assert all(span.intact for span in expected_truth(touching) if span.start_samples == pause.start_samples)


def test_an_edit_at_the_very_edge_of_a_pause_leaves_it_whole_and_as_long():
    shipped = script.load()
    pause = next(span for span in shipped.pauses if span.at == "inside")
    for at, shift in ((pause.start_samples, 800), (pause.end_samples, 0)):
        scene = Scenario("x", media.conversation(), (Discard(at, 800, skips=False),), conversation=shipped)
        span = expected_truth(scene)[shipped.pauses.index(pause)]
        assert span.intact
        assert (span.start_samples, span.end_samples) == (pause.start_samples + shift, pause.end_samples + shift)


def test_other_audio_has_no_truth():
    assert expected_truth(Scenario("x", media.silence(100))) == ()
