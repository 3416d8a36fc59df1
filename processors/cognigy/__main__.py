"""The cognigy service: `python -m processors.cognigy`."""

import asyncio
import os
import socket

from processors.cognigy.bridge.client import BridgeClient
from processors.cognigy.bridge.listening import Listening
from processors.cognigy.companion import Beside, CognigyCompanion
from processors.cognigy.config import CognigySettings, rules
from processors.cognigy.forward import CognigyForward
from processors.cognigy.gate import Gate
from processors.cognigy.pace import Pace
from processors.cognigy.transports import transport
from runtime.forwarder import run_forwarder
from runtime.service import Service, main
from schemas.records import Utterance
from schemas.topics import AUDIO, BOT, BOT_AUDIO, UTTERANCES


async def start(service: Service[CognigySettings], topic: str = UTTERANCES.name) -> None:
    """Carry a topic's inputs to the bot until the service stops."""
    settings, clock, log = service.settings, service.clock, service.log
    async with asyncio.TaskGroup() as group, transport(service, group) as client:
        gate = Gate(Pace(*settings.pace), clock, log, settings.patience)
        unasked = Beside(rules(settings), client.transport, clock)
        forward = CognigyForward(
            client,
            rules(settings),
            gate,
            clock,
            log,
            worker=f"{socket.gethostname()}/{os.getpid()}",
            beside=group,
            unasked=unasked.put,
        )
        forward.input_topic = topic
        companion = CognigyCompanion(forward, client, gate)
        if isinstance(client, BridgeClient):
            forward.outputs = (BOT.name, BOT_AUDIO.name)
            companion = _bridged(service, forward, client, gate, unasked)
        writing = group.create_task(unasked.run())
        try:
            await run_forwarder(service, forward, record_type=Utterance, companion=companion)
        finally:
            writing.cancel()


def _bridged(
    service: Service[CognigySettings], forward: CognigyForward, client: BridgeClient, gate: Gate, unasked: Beside
) -> CognigyCompanion:
    """Return the companion of a bridge: bots may speak unasked, and hear the callers where that is wanted."""
    own = service.settings.bridge
    if not own.audio:
        return CognigyCompanion(forward, client, gate, unasked)

    def is_open(partition: int, conversation: str) -> bool:
        return forward.calls.find(partition, conversation) is not None

    listening = Listening(service.store, service.clock, is_open, client.speak, own.audio_chunk_ms, own.audio_max_age_ms)
    return CognigyCompanion(forward, client, gate, unasked, AUDIO.name, listening)


if __name__ == "__main__":
    main("cognigy", CognigySettings, start)
