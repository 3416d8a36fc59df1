from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.live_call.script import Chunk, Close, Cut, Dead, Plan, Say, Script, Stall, channel, disturbed


def audio(chunks: int, chunk_bytes: int = 160) -> bytes:
    return b"".join(number.to_bytes(2, "big") * (chunk_bytes // 2) for number in range(chunks))


def sent(plan: Plan) -> list[Chunk]:
    return [step for _, step in plan.steps if isinstance(step, Chunk)]


def test_a_perfect_call_is_one_chunk_every_twenty_milliseconds():
    plan = Script(audio=audio(3) + b"end").plan()
    assert [(at_ms, step.start_samples, step.samples) for at_ms, step in plan.steps] == [
        (0, 0, 160),
        (20, 160, 160),
        (40, 320, 160),
        (60, 480, 3),
    ]
    assert b"".join(chunk.payload for chunk in sent(plan)) == audio(3) + b"end"
    assert plan.duration_ms == 61
    assert plan.missing(sent(plan)) == ()


def test_chunks_have_the_length_and_the_samples_the_bytes_that_were_asked_for():
    plan = Script(audio=audio(2, 1600), sample_bytes=2, chunk_ms=50).plan()
    assert [(chunk.send_at_ms, chunk.start_samples, len(chunk.payload)) for chunk in plan.chunks] == [
        (0, 0, 800),
        (50, 400, 800),
        (100, 800, 800),
        (150, 1200, 800),
    ]
    assert plan.duration_ms == 200


def test_disturbances_stand_where_they_were_put_before_the_audio_of_their_time():
    actions = (Cut(20), Close(40, 1001, "bye"), Say(40, b"\xff"))
    plan = Script(audio=audio(3), actions=actions).plan()
    assert [(at_ms, type(step).__name__) for at_ms, step in plan.steps] == [
        (0, "Chunk"),
        (20, "Cut"),
        (20, "Chunk"),
        (40, "Close"),
        (40, "Say"),
        (40, "Chunk"),
    ]


def test_audio_of_a_dead_time_is_gone_and_that_of_a_stall_comes_at_its_end():
    plan = Script(audio=audio(10), actions=(Dead(40, 40), Stall(120, 50))).plan()
    assert [chunk.send_at_ms for chunk in sent(plan)] == [0, 20, 80, 100, 170, 170, 170, 180]
    assert [chunk.start_samples // 160 for chunk in sent(plan)] == [0, 1, 4, 5, 6, 7, 8, 9]
    assert plan.missing(sent(plan)) == ((320, 640),)


@given(late=st.integers(0, 20), twice=st.integers(0, 20), seed=st.integers(0, 99))
def test_as_many_chunks_are_late_or_come_twice_as_were_asked_for(late, twice, seed):
    plan = Script(audio=audio(100), reordered=late, duplicates=twice, seed=seed).plan()
    places = [chunk.start_samples for chunk in sent(plan)]
    firsts = list(dict.fromkeys(places))
    assert len(places) - len(firsts) == twice
    assert sum(one > other for one, other in pairwise(firsts)) == late
    assert sorted(firsts) == [chunk.start_samples for chunk in plan.chunks]
    times = [at_ms for at_ms, _ in plan.steps]
    assert times == sorted(times)
    assert plan.missing(sent(plan)) == ()


def test_a_seed_is_a_call():
    script = {"audio": audio(100), "reordered": 5, "duplicates": 5}
    assert Script(**script, seed=1).plan() == Script(**script, seed=1).plan()
    assert Script(**script, seed=1).plan() != Script(**script, seed=2).plan()


@pytest.mark.parametrize("wrong", [{"reordered": 9}, {"duplicates": 9}, {"sample_bytes": 0}, {"chunk_ms": 0}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=r"room|positive"):
        Script(audio=audio(10), **wrong).plan()


def test_what_is_missing_lies_between_the_first_and_the_last_that_was_sent():
    plan = Script(audio=audio(10)).plan()
    assert plan.missing([*plan.chunks[2:4], plan.chunks[6], plan.chunks[8]]) == ((640, 960), (1120, 1280))
    assert plan.missing([]) == ()


def test_the_channels_of_the_shipped_conversation_can_be_cut_and_kept():
    plan = disturbed("internal", cuts_s=[2, 1.5], backlog_s=3, reordered=1)
    assert b"".join(chunk.payload for chunk in plan.chunks) == channel("internal")
    assert [at_ms for at_ms, step in plan.steps if isinstance(step, Cut)] == [1500, 2000]
    assert plan.backlog_ms == 3000
    with pytest.raises(ValueError, match=r"list|tuple"):
        channel("nobody")
