import pytest

from runtime.errors import StateCorrupted
from schemas.symbols import Channels
from tests.processors.silence.calls import LOUD, QUIET, Call, run


def test_the_state_is_less_than_a_kilobyte_per_call():
    channels = Channels.EXTERNAL_INTERNAL
    calls = [Call(number, channels=channels).open(organisation="acme").say(LOUD[:12_000]) for number in range(40)]
    found = run(*calls)
    assert len(found.processor.snapshot(found.state)) < 40 * 500


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"x", lambda _: b"", lambda b: b"\xff" * len(b)])
def test_a_damaged_state_is_an_error_with_a_name(damage):
    found = run(Call().say(QUIET))
    with pytest.raises(StateCorrupted):
        found.processor.restore(3, damage(found.processor.snapshot(found.state)))
    with pytest.raises(StateCorrupted):
        found.processor.restore(2, found.processor.snapshot(found.state))
