"""The REST client against the stand-in, through every fault; and the token, which is nowhere but in the URL."""

import asyncio
import logging

import pytest
from prometheus_client import generate_latest
from pydantic import SecretStr

from processors.cognigy.breaker import Patience
from processors.cognigy.events import BotInput, Ended, Outcome
from processors.cognigy.forward import CognigyForward
from processors.cognigy.gate import Gate
from processors.cognigy.messages import request, user_id
from processors.cognigy.pace import Pace
from processors.cognigy.replies import NoReply, Reply
from processors.cognigy.rest import RestClient
from runtime.clock import ManualClock, SystemClock
from runtime.forward_testing import ForwardDriver
from runtime.http import HttpClient
from runtime.log import get_logger
from schemas.symbols import TurnState
from simulators.cognigy.script import Answer, Fault, Output
from simulators.cognigy.server import CognigyServer
from tests.processors.cognigy.turns import NOW_S, RULES, utterance

TOKEN = "5ec2e7" * 10 + "cafe"
BODY = request(utterance())


@pytest.fixture
async def bot():
    async with CognigyServer(TOKEN) as bot:
        yield bot


@pytest.fixture
async def http():
    async with HttpClient("cognigy", timeout_s=5, any_status=True) as http:
        yield http


def client_of(http, bot, *, token=TOKEN, timeout_s=5.0):
    return RestClient(http, f"{bot.url}/", SecretStr(token), RULES, timeout_s=timeout_s, clock=SystemClock())


async def test_an_input_arrives_as_documented_and_its_answer_comes_back(bot, http):
    reply = await client_of(http, bot).ask(BODY)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.retry_after_s) == (200, None)
    assert b"You said: hello" in reply.body
    (taken,) = bot.received
    assert (taken.session_id, taken.user_id, taken.text) == ("conversation", user_id("conversation"), "hello")


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (Answer(status=429, retry_after="2"), Reply(429, b"{}", 2.0)),
        (Answer(status=429), Reply(429, b"{}")),
        (Answer(status=503, retry_after="1"), Reply(503, b"{}", 1.0)),
        (Answer(status=503, retry_after="soon"), Reply(503, b"{}")),
        (Answer(status=500), Reply(500, b"{}")),
        (Answer(fault=Fault.RESET_BEFORE_READ), NoReply(unsent=False)),
        (Answer(fault=Fault.RESET_AFTER_READ), NoReply(unsent=False)),
        (Answer((Output("cut"),), fault=Fault.RESET_IN_ANSWER), NoReply(unsent=False)),
    ],
)
async def test_every_fault_comes_back_as_what_it_is(bot, http, answer, reply):
    bot.script.queue.append(answer)
    found = await client_of(http, bot).ask(BODY)
    if isinstance(found, Reply):
        found = Reply(found.status, b"{}", found.retry_after_s)
    assert found == reply


@pytest.mark.parametrize("answer", [Answer(fault=Fault.SILENCE), Answer((Output("late"),), delay_s=30)])
async def test_no_answer_in_time_is_no_reply(bot, http, answer):
    bot.script.queue.append(answer)
    assert await client_of(http, bot, timeout_s=0.1).ask(BODY) == NoReply(unsent=False)
    assert len(bot.received) == 1


async def test_nobody_listening_is_unsent(bot, http):
    await bot.stop()
    assert await client_of(http, bot).ask(BODY) == NoReply(unsent=True)


async def test_the_events_of_an_input_come_together_and_end_with_what_it_came_to(bot, http):
    client = client_of(http, bot)
    bot.script.queue.append(Answer((Output("One."), Output("Two.", {"intent": "order"}))))
    ((one, two, ended),) = [events async for events in client.send("conversation", BotInput("t", utterance()))]
    assert (one.text, two.text, two.intent.name) == ("One.", "Two.", "order")
    assert isinstance(ended, Ended)
    assert ended.verdict.outcome is Outcome.ANSWERED


async def test_a_wrong_token_is_refused(bot, http):
    reply = await client_of(http, bot, token="another token of ours").ask(BODY)
    assert isinstance(reply, Reply)
    assert (reply.status, bot.received) == (404, [])


async def test_requests_of_different_conversations_wait_for_their_answers_at_once(bot, http):
    client = client_of(http, bot)
    bot.script.queue.extend([Answer((Output("x"),), delay_s=30)] * 8)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.ask(BODY)) for _ in range(8)]
        await bot.took(8)
        for task in tasks:
            task.cancel()
    assert len(bot.received) == 8


QUOTING = Answer((Output(f"the address is /{TOKEN}", {"URLToken": TOKEN}),))
FAULTS = [
    QUOTING,
    Answer(status=404, body=f'{{"detail": "/{TOKEN}", "traceId": "{TOKEN}"}}'.encode()),
    Answer(body=f"<html>{TOKEN}".encode()),
    Answer(status=429, retry_after=TOKEN),
    Answer(status=500, body=TOKEN.encode()),
    *[Answer(fault=fault) for fault in Fault if fault is not Fault.NONE],
]


async def test_the_token_is_in_no_log_record_or_metric(bot, http, capsys, caplog):
    caplog.set_level(logging.INFO)
    clock = ManualClock(NOW_S)
    client = client_of(http, bot, timeout_s=0.3)
    log = get_logger("cognigy")
    gate = Gate(Pace(1000, 1000), clock, log, Patience(failures=1000))
    forward = CognigyForward(client, RULES, gate, clock, log, worker="worker")
    driver = ForwardDriver(forward, clock=clock)
    for number, answer in enumerate(FAULTS):
        bot.script.queue.clear()
        bot.script.queue.append(answer)
        driver.send(utterance(f"input {number}", counter=number))
        await driver.run()
    await bot.stop()
    driver.send(utterance("nobody listens", counter=99))
    await driver.run()
    states = {entry.state for key, entry in driver.turns.items() if key.endswith("/result")}
    assert {TurnState.ANSWERED, TurnState.FAILED, TurnState.AMBIGUOUS} <= states
    written = b"".join(output.value for output in driver.outputs)
    written += repr(driver.turns).encode() + generate_latest()
    assert b"[token]" in written
    logged = capsys.readouterr()
    ours = (
        logged.out
        + logged.err
        + "".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpx2"))
    )
    assert "a turn was not answered" in ours
    assert TOKEN not in ours
    assert TOKEN.encode() not in written
    assert TOKEN not in repr(client) + repr(forward)
