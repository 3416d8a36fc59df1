"""A2, A3, A7, A8: when it is tried again. What is wrong with each defect: tests/data/defects/README.md."""

from itertools import count

from runtime.supervision import ConnectionLost, GivenUp, Policy, Supervisor
from schemas.symbols import ClosedBy
from tests.data.defects import attempts
from tests.ingest.defect_peer import Peer
from tests.ingest.showing import ends, shows
from tests.runtime.websocket_peers import QUICK, dialer

POLICY = Policy(attempts=10, first_delay_s=1, longest_delay_s=30, stable_s=10)
DROPPED = ConnectionLost(1006, "", ClosedBy.NETWORK)
MANY = 50
"""Dials after which nobody believes that it will ever stop."""


def waits(supervisor, meets, draw=0.999, dials=MANY):
    """Return the waits before the dials, the first one too, and what ended them; None where nothing did.

    `meets(supervisor, now_s, draw)` is what one dial meets: (what is decided, when).
    """
    decision, now_s, found = supervisor.start(0.0), 0.0, []
    while len(found) < dials:
        if isinstance(decision, GivenUp):
            return found, decision
        found.append(decision.at_s - now_s)
        now_s = decision.at_s
        supervisor.dialled()
        decision, now_s = meets(supervisor, now_s, draw)
    return found, None


def unauthorized(supervisor, now_s, draw):
    return supervisor.refused(401, now_s, draw, has_token=True), now_s


def unreachable(supervisor, now_s, draw):
    return supervisor.failed(now_s, draw), now_s


def dropped_at_once(supervisor, now_s, draw):
    supervisor.opened(now_s)
    return supervisor.lost(now_s, draw, DROPPED, messages=0), now_s


def dropped_after(seconds):
    def meets(supervisor, now_s, draw):
        supervisor.opened(now_s)
        return supervisor.lost(now_s + seconds, draw, DROPPED, messages=9), now_s + seconds

    return meets


@shows(Supervisor, A2=attempts.RefusedIsNoAttempt)
def test_a_401_counts_waits_and_is_final_with_a_fresh_token(make):
    found, end = waits(make(POLICY), unauthorized)
    assert end is not None
    assert (end.reason, end.attempts) == ("unauthorized", 2)
    assert all(wait_s > 0 for wait_s in found[1:])


@shows(Supervisor, A7_cap=attempts.DoublesForEver)
def test_no_wait_is_longer_than_the_longest(make):
    found, end = waits(make(POLICY), unreachable)
    assert end is not None
    assert max(found) <= POLICY.longest_delay_s


@shows(Supervisor, A7_jitter=attempts.DoublesForEver)
def test_two_that_were_dropped_together_do_not_come_back_together(make):
    first, second = (waits(make(POLICY), unreachable, draw)[0] for draw in (0.1, 0.9))
    assert all(one != other for one, other in zip(first[1:], second[1:], strict=True))


@shows(Supervisor, A7_reset=attempts.DoublesForEver)
def test_after_a_stable_time_the_waits_and_the_budget_begin_anew(make):
    found, end = waits(make(POLICY), dropped_after(POLICY.stable_s + 1))
    assert end is None
    assert max(found) <= POLICY.first_delay_s


@shows(Supervisor, A8=attempts.ForgetsOnOpen)
def test_a_peer_that_accepts_and_drops_at_once_is_given_up_with_growing_waits(make):
    found, end = waits(make(POLICY), dropped_at_once)
    assert end is not None
    assert len(found) == POLICY.attempts
    assert max(found) > 2 * POLICY.first_delay_s


async def ours(url, token):
    class Tokens:
        get = staticmethod(token)

        def invalidate(self, _token):
            """A new one comes anyway."""

    try:
        connection = await dialer(url, QUICK, token=Tokens()).connect()
    except GivenUp as error:
        return error.reason
    await connection.close()
    return "open"


@shows(ours, A3=attempts.answered_by_class_name)
async def test_each_answer_to_the_handshake_means_what_it_says(make):
    found, meant = {}, {401: "open", 403: "forbidden", 404: "not found", 429: "open", 503: "open"}
    for status in meant:
        fresh = count()

        async def token(fresh=fresh):
            return f"token-{next(fresh)}"

        async with Peer(statuses=(status,)).serving() as peer:
            found[status] = await ends(make(peer.url, token), factor=4)
            assert len(set(peer.bearers)) == len(peer.bearers)
    assert found == meant
