"""A client's side of AudioHook for tests: what it would send, spelled out."""

import json

ORGANIZATION = "d7934305-0972-4844-938e-9060eef73d05"
SESSION = "30b0e395-84d3-4570-ac13-9a62d8f514c0"
CORRELATION = "e160e428-53e2-487c-977d-96989bf5c99d"
CONVERSATION = "0b2c3d4e-1111-4222-8333-944455566677"
PARTICIPANT = "883efee8-3d6c-4537-b500-6d7ca4b92fa0"
PROBE = "00000000-0000-0000-0000-000000000000"


def offer(*channels: str, form: str = "PCMU", rate: int = 8000) -> dict:
    return {"type": "audio", "format": form, "channels": list(channels), "rate": rate}


STEREO = offer("external", "internal")
OFFERS = [STEREO, offer("external"), offer("internal")]


def open_parameters(**changes) -> dict:
    participant = {"id": PARTICIPANT, "ani": "tel:+4930901820", "aniName": "Ann", "dnis": "tel:+493023125"}
    return {
        "organizationId": ORGANIZATION,
        "conversationId": CONVERSATION,
        "participant": participant,
        "media": OFFERS,
        "language": "en-US",
        **changes,
    }


class Client:
    """Numbers messages as the platform does. `serverseq` follows what `heard` is told."""

    def __init__(self) -> None:
        self.seq = 0
        self.serverseq = 0

    def say(self, kind: str, position: str = "PT0S", parameters: dict | None = None, **envelope) -> str:
        self.seq += 1
        message = {
            "version": "2",
            "id": SESSION,
            "type": kind,
            "seq": self.seq,
            "serverseq": self.serverseq,
            "position": position,
            "parameters": {} if parameters is None else parameters,
            **envelope,
        }
        return json.dumps({key: value for key, value in message.items() if value is not ...})

    def open(self, **changes) -> str:
        return self.say("open", parameters=open_parameters(**changes))

    def close(self, position: str = "PT0S", reason: str = "end") -> str:
        return self.say("close", position, {"reason": reason})
