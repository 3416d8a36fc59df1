"""The calls of the demo: placed, followed to the far end, and read back."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from callstream.demo.board import Board, CallRow
from callstream.demo.evidence import Evidence
from callstream.demo.reader import Handlers, TopicReader
from callstream.demo.source import LIVE, DemoSource
from callstream.demo.stage import DemoOptions, Stage
from callstream.demo.stand_ins import Placed, StandIns
from callstream.demo.stream import LOST_RATIO, streamed
from runtime.errors import Unavailable
from schemas.symbols import Source
from schemas.topics import ACTIVITY, AUDIO, BOT, EVENTS, LOSS, RECORDINGS, SILENCE
from simulators.audiohook import media
from simulators.audiohook.call import Call
from simulators.audiohook.client import Options, run_calls
from simulators.audiohook.demo_call import demo, inputs
from simulators.audiohook.report import CallReport
from simulators.audiohook.scenario import Scenario
from simulators.conversation import mulaw
from simulators.media_streams.server import Interaction

_TOPICS = tuple(topic.name for topic in (AUDIO, EVENTS, SILENCE, ACTIVITY, LOSS, BOT, RECORDINGS))
_SOURCES = {
    DemoSource.MEDIA_WEBSOCKET: Source.MEDIA_WEBSOCKET,
    DemoSource.CONVERSATION_AUDIO: Source.CONVERSATION_AUDIO,
    DemoSource.APPFOUNDRY: Source.APPFOUNDRY,
}
_SETTLE_BUDGET_S = 45.0
_LEVEL_CALL_MS = 3000
_DOCUMENT_RMS = 0.0106
"""A sine of this RMS has a mean magnitude of 0.0095: below 0.01, where a detector that takes the mean for the RMS
calls it silent."""


@dataclass(slots=True)
class Play:
    """The calls of the demo while they are placed."""

    calls: list[Call]
    reports: list[CallReport]
    board: Board
    placed: Placed

    @classmethod
    def of(cls, options: DemoOptions) -> "Play":
        """Return what the options ask for."""
        if options.source in LIVE:
            placed = Placed(live=options.calls, source=options.source)
            return cls([], [], Board([], _SOURCES[options.source]), placed)
        return cls._of_streams(options) if options.source is DemoSource.MEDIA_STREAMS else cls._of_calls(options)

    @classmethod
    def _of_streams(cls, options: DemoOptions) -> "Play":
        """Return the caller's side of the conversation, `calls` times, as numbered packets of which some are lost."""
        streams = [
            Interaction(str(uuid4()), streamed(number).plan(), starts_on_subscription=False)
            for number in range(options.calls)
        ]
        rows = [CallRow(one.interaction_id, "media stream", channels=1) for one in streams]
        placed = Placed(streams=streams, speed=options.speed)
        return cls([], [], Board(rows, Source.MEDIA_STREAMS), placed)

    @classmethod
    def _of_calls(cls, options: DemoOptions) -> "Play":
        """Return the scripted conversation, `calls` times, and three short calls that are silent or nearly so."""
        scenarios = [demo()] * options.calls
        scenarios += [
            Scenario("silence 0xFF", media.silence(_LEVEL_CALL_MS)),
            Scenario("silence 0x7F", media.silence(_LEVEL_CALL_MS, mulaw.NEGATIVE_SILENCE)),
            Scenario("quiet sine", media.tone(_LEVEL_CALL_MS, rms=_DOCUMENT_RMS)),
        ]
        calls = [Call(scenario=scenario, speed=options.speed) for scenario in scenarios]
        rows = [
            CallRow(str(call.conversation_id), call.scenario.name, wanted_turns=len(inputs(call.scenario)))
            for call in calls
        ]
        texts = [row.conversation_id for row in rows if row.wanted_turns]
        return cls(calls, [], Board(rows, Source.AUDIOHOOK), Placed(texts=texts, speed=options.speed))

    @property
    def what(self) -> str:
        """Say what is done."""
        if self.placed.live:
            return f"following {self.placed.live} calls without numbers, each losing its connection on purpose,"
        if self.placed.streams:
            streams = f"{len(self.placed.streams)} streams of numbered packets"
            return f"following {streams}, {LOST_RATIO:.0%} of them lost on purpose,"
        short = sum(not row.wanted_turns for row in self.board.rows.values())
        return f"placing {len(self.placed.texts)} conversations and {short} short calls of known level"

    def frames_sent(self, others: StandIns) -> int:
        """Return how many frames were handed to the sockets so far."""
        streamed = sum(len(report.sent) for report in others.media.reports.values())
        live = 0 if others.live is None else sum(len(call.report.sent) for call in others.live.calls.values())
        return streamed + live + sum(report.frames_sent for report in self.reports)


async def perform(running: Stage, play: Play, on_turn: Callable[[], None]) -> Evidence:
    """Place the calls, follow them to the far end, and return what the topics hold of them.

    Raises `DemoError` when a service ends meanwhile. A call that does not arrive shows in the evidence.
    """
    if running.others.live is not None:
        rows = [CallRow(call, "live call", channels=1) for call in running.others.live.calls]
        play.board.rows.update({row.conversation_id: row for row in rows})
    reader = await TopicReader.since(running.kafka, _TOPICS, running.starts)
    handlers = Handlers(play.board.frames, play.board.record)
    try:
        async with asyncio.TaskGroup() as group:
            texting = group.create_task(running.others.send_texts())
            placing = group.create_task(_place(running, play))
            while not placing.done():
                await _turn(running, reader, handlers, on_turn)
            texting.cancel()
        try:
            async with asyncio.timeout(_SETTLE_BUDGET_S):
                while not play.board.settled:
                    await _turn(running, reader, handlers, on_turn)
        except TimeoutError:
            running.say("not everything arrived in time; checking what is there")
        evidence = Evidence(play.board.source)
        evidence.withheld = await running.withheld()
        await reader.all(Handlers(evidence.frames, evidence.record))
    finally:
        await reader.close()
    return evidence


async def _place(running: Stage, play: Play) -> None:
    others = running.others
    await others.connected()
    options = Options(credentials=running.credentials, on_start=play.reports.append, on_text=others.say)
    await run_calls(running.audiohook_url, play.calls, options)
    await others.stream()


async def _turn(running: Stage, reader: TopicReader, handlers: Handlers, on_turn: Callable[[], None]) -> None:
    running.check_running()
    try:
        await reader.poll(handlers)
    except Unavailable as error:
        running.say(f"waiting: {error}")
    on_turn()
