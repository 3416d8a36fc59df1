import pytest

from processors.loss.session import Counts
from runtime.errors import StateCorrupted
from tests.processors.loss.calls import Call, Run, log_of, run


def test_the_state_is_less_than_a_kilobyte_per_call():
    calls = [Call(number).open(organisation="acme").say(7) for number in range(40)]
    found = run(*calls)
    assert len(found.processor.snapshot(found.state)) < 40 * 500


def test_the_bytes_do_not_depend_on_the_order_in_which_sessions_came():
    calls = [Call(number).open().say(number) for number in range(5)]
    calls[2].packet(7).packet(9, stream=5)
    forward, backward = run(*calls), run(*reversed(calls))
    assert forward.processor.snapshot(forward.state) == backward.processor.snapshot(backward.state)


def test_the_bytes_do_not_depend_on_the_order_in_which_streams_came():
    found = run(Call().open().packet(7).packet(9, stream=5))
    (session,) = found.state.known.values()
    before = found.processor.snapshot(found.state)
    session.streams = dict(reversed(session.streams.items()))
    assert found.processor.snapshot(found.state) == before


def test_everything_survives_a_snapshot():
    call = Call().open(queue="q").say(6).packet(3).packet(9)
    found = run(call)
    content = found.processor.snapshot(found.state)
    again = found.processor.restore(found.processor.state_version, content)
    assert found.processor.snapshot(again) == content
    slot = again.table.in_order()[0]
    assert again.open(slot) == found.state.open(found.state.table.in_order()[0])


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"x", lambda _: b"", lambda b: b"\xff" * len(b)])
def test_a_damaged_state_is_an_error_with_a_name(damage):
    found = run(Call().open().say(1).packet(3))
    with pytest.raises(StateCorrupted):
        found.processor.restore(3, damage(found.processor.snapshot(found.state)))


@pytest.mark.parametrize("version", [1, 2, 4])
def test_a_state_of_another_version_is_refused_with_its_version(version):
    found = run(Call().open().say(1))
    with pytest.raises(StateCorrupted, match=f"version {version}"):
        found.processor.restore(version, found.processor.snapshot(found.state))


def test_a_closed_session_leaves_no_counts_behind():
    found = Run().feed(log_of(Call().open().say(6).close()))
    assert found.state.known == {}
    assert not found.state.streams.any()
    assert not found.state.bins.any()


def test_counts_add_up_but_the_longest_stays_the_longest():
    total = Counts(frames=1, lost=2, longest_gap=7)
    total.add(Counts(frames=2, lost=3, longest_gap=5, stall_longest_ms=9))
    assert total == Counts(frames=3, lost=5, longest_gap=7, stall_longest_ms=9)
    assert total.missing == 5
