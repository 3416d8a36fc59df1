"""The cognigy service: `python -m processors.cognigy`."""

import os
import socket

from processors.cognigy.client import RestClient
from processors.cognigy.config import CognigySettings, endpoint, rules
from processors.cognigy.forward import CognigyForward
from processors.cognigy.pace import Pace
from runtime.forwarder import run_forwarder
from runtime.http import HttpClient
from runtime.service import Service, main
from schemas.records import Utterance
from schemas.topics import UTTERANCES


async def start(service: Service[CognigySettings], topic: str = UTTERANCES.name) -> None:
    """Carry a topic's inputs to the bot until the service stops."""
    settings, clock = service.settings, service.clock
    url, token = endpoint(settings)
    if url.startswith("http://"):
        service.log.warning("the bot is reached without TLS: whoever is on the way reads the token")
    async with HttpClient(
        "cognigy",
        timeout_s=settings.read_timeout_s,
        connect_timeout_s=settings.connect_timeout_s,
        connections=settings.forwarder.max_in_flight,
        clock=clock,
        any_status=True,
        longest_answer_bytes=settings.longest_answer_bytes,
    ) as http:
        # the whole may take as long as its parts, so that a connection that is not made counts as unsent
        whole_s = settings.connect_timeout_s + settings.read_timeout_s
        client = RestClient(http, url, token, timeout_s=whole_s, clock=clock)
        pace = Pace(settings.rate_per_s, settings.burst)
        worker = f"{socket.gethostname()}/{os.getpid()}"
        forward = CognigyForward(client, rules(settings), pace, clock, service.log, worker=worker)
        forward.input_topic = topic
        await run_forwarder(service, forward, record_type=Utterance)


if __name__ == "__main__":
    main("cognigy", CognigySettings, start)
