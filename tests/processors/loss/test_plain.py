"""What is stepped together comes out as if it had been stepped alone; test_determinism has the random calls."""

from processors.loss.logic import LossProcessor
from processors.loss.plain import Plain
from tests.processors.loss.calls import Call, Run, log_of


def crowd(count: int) -> list:
    calls = []
    for number in range(count):
        call = Call(number).open()
        if number % 3:
            for place in range(300):
                if place % (7 + number):
                    call.packet(place, late=bool(number % 2))
        else:
            call.say(6, 160)
        calls.append(log_of(call))
    longest = max(map(len, calls))
    return [log[at] for at in range(longest) for log in calls if at < len(log)]


def test_a_crowd_comes_out_as_its_members_alone(monkeypatch):
    taken = []
    take = Plain.take

    def noted(self, part):
        others = take(self, part)
        taken.append((part.shape[1], len(others)))
        return others

    monkeypatch.setattr(Plain, "take", noted)
    log = crowd(12)
    together, alone = Run(LossProcessor(min_round=1)).feed(log), Run(LossProcessor(min_round=10**6)).feed(log)
    assert together.found == alone.found
    assert together.processor.snapshot(together.state) == alone.processor.snapshot(alone.state)
    rows, others = (sum(column) for column in zip(*taken, strict=True))
    assert rows == len(log)
    assert others < 0.05 * rows
