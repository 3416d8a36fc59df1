"""The cognigy service: `python -m processors.cognigy`."""

import os
import socket

from processors.cognigy.client import http_client, rest_client
from processors.cognigy.config import CognigySettings, endpoint, rules
from processors.cognigy.forward import CognigyForward
from processors.cognigy.pace import Pace
from runtime.forwarder import run_forwarder
from runtime.service import Service, main
from schemas.records import Utterance
from schemas.topics import UTTERANCES


async def start(service: Service[CognigySettings], topic: str = UTTERANCES.name) -> None:
    """Carry a topic's inputs to the bot until the service stops."""
    settings, clock = service.settings, service.clock
    if endpoint(settings)[0].startswith("http://"):
        service.log.warning("the bot is reached without TLS: whoever is on the way reads the token")
    async with http_client(settings, clock, settings.forwarder.max_in_flight) as http:
        client = rest_client(settings, http, clock)
        pace = Pace(settings.rate_per_s, settings.burst)
        worker = f"{socket.gethostname()}/{os.getpid()}"
        forward = CognigyForward(client, rules(settings), pace, clock, service.log, worker=worker)
        forward.input_topic = topic
        await run_forwarder(service, forward, record_type=Utterance)


if __name__ == "__main__":
    main("cognigy", CognigySettings, start)
