"""The Forwarder while the requests that guard a turn go wrong on the wire: no input twice, none lost.

Faults stand at the read of the turns topic (take-over), the Produce of an intent and the commit that proves the
partition. Each ends by itself: the client's request timeout (shortened here), then the Forwarder's own 20 s for a write
and 15 s for a commit. Only whoever lost its membership meanwhile may find a turn ambiguous.
"""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from runtime import kafka as clients
from schemas.symbols import TurnState
from tests.faults.proxy import HOST, Act, Api, Fault, proxy_to
from tests.integration.test_forwarder import Cluster, create_cluster, worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]
DEADLINE_S = 90
REQUEST_TIMEOUT_MS = 2_000
PATIENT_MS = 10_000
IMPATIENT_MS = 1_500
AT_START = ({"api": Api.FETCH, "client": "-take-over", "part": b".turns"},)
THEN = (
    {"api": Api.PRODUCE, "part": b".turns"},
    {"api": Api.OFFSET_COMMIT},
    {"api": Api.PRODUCE, "part": b"calls.bot"},
)
CASES = {
    "cut before": (Act.CUT_BEFORE, 0.0, PATIENT_MS),
    "cut after": (Act.CUT_AFTER, 0.0, PATIENT_MS),
    "half-open": (Act.HALF_OPEN, 0.0, PATIENT_MS),
    "delay": (Act.DELAY, 1.5, PATIENT_MS),
    "silence": (Act.SILENCE, 3.0, PATIENT_MS),
    "silence that costs the membership": (Act.SILENCE, 3.0, IMPATIENT_MS),
}


async def answers(cluster: Cluster, count: int) -> list[tuple[str, TurnState]]:
    """Each turn's first answer, once there are so many; an answer may be stored twice, a turn has one id."""
    async with asyncio.timeout(DEADLINE_S):
        while len(found := dict.fromkeys(await cluster.answers(0))) < count:
            await asyncio.sleep(0.1)
    return list(found)


async def carries_on(cluster: Cluster, act: Act, seconds: float, session_timeout_ms: int) -> None:
    """Texts come in while faults strike, one text at least for each; every text leaves once and is answered."""
    texts = ["before"]
    await cluster.append(0, "before")
    async with worker(cluster):
        await answers(cluster, 1)
    async with proxy_to(cluster.kafka.bootstrap_servers) as proxy:
        through = replace(cluster, kafka=cluster.kafka.model_copy(update={"bootstrap_servers": proxy.bootstrap}))
        faults = [proxy.place(Fault(act, seconds=seconds, **place)) for place in AT_START]
        async with worker(through, session_timeout_ms=session_timeout_ms) as service:
            for place in ({}, *THEN):
                faults += [proxy.place(Fault(act, seconds=seconds, **place))] if place else []
                for number in range(2):
                    texts.append(f"t{len(texts)}-{number}")
                    await cluster.append(0, texts[-1])
                async with asyncio.timeout(DEADLINE_S):
                    await faults[-1].struck.wait()
                found = await answers(cluster, len(texts))
            async with asyncio.timeout(DEADLINE_S):
                while not service.health.is_ready():
                    await asyncio.sleep(0.05)
    sent = Counter(cluster.texts_sent())
    assert max(sent.values()) == 1
    assert [text for text, _ in found] == texts
    unclear = {text for text, state in found if state is not TurnState.ANSWERED}
    assert set(sent) >= set(texts) - unclear
    assert not unclear or session_timeout_ms == IMPATIENT_MS


async def test_faults_where_a_turn_is_guarded_send_no_input_twice_and_lose_none(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kafka.startswith(f"{HOST}:"):
        pytest.skip("the proxy stands before a broker on loopback only")
    places = []
    for number in range(len(CASES)):
        folder = tmp_path / str(number)
        folder.mkdir()
        places.append(await create_cluster(kafka, folder))
    for name in ("_CONSUMER_DEFAULTS", "_PRODUCER_DEFAULTS"):
        monkeypatch.setattr(clients, name, {**getattr(clients, name), "request_timeout_ms": REQUEST_TIMEOUT_MS})

    async def case(name: str, cluster: Cluster) -> None:
        try:
            await carries_on(cluster, *CASES[name])
        except BaseException as error:
            error.add_note(f"with {name}")
            raise

    async with asyncio.TaskGroup() as cases:
        for name, cluster in zip(CASES, places, strict=True):
            cases.create_task(case(name, cluster))
