import pytest

from runtime.supervision import GivenUp, Policy, Supervisor


@pytest.mark.parametrize(("status", "reason"), [(403, "forbidden"), (404, "not found"), (400, "refused")])
def test_an_answer_that_a_repetition_would_not_change_is_final(status, reason):
    supervisor = Supervisor(Policy())
    supervisor.start(0.0)
    supervisor.dialled()
    decision = supervisor.refused(status, 0.0, 0.5, has_token=True)
    assert isinstance(decision, GivenUp)
    assert (decision.reason, decision.attempts, decision.status) == (reason, 1, status)
