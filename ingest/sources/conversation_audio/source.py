"""Conversation audio as a source we call: its settings → how it is dialled, and the machine of each connection."""

import re
from collections.abc import Sequence
from functools import partial

from ingest.connecting import Place
from ingest.dial import Dial, DialledSource, policy_of
from ingest.protocol import Call
from ingest.single_call import Description
from ingest.sources.conversation_audio.config import ORG_PATTERN, ConversationAudioSettings
from ingest.sources.conversation_audio.protocol import ConversationAudioProtocol, Rules
from runtime.supervision import Claim
from schemas.symbols import Source

NAME = "conversation-audio"
_ORG = "org"
"""Parameter of a call: its organisation, where that is not the one of the settings."""


def dialled(own: ConversationAudioSettings, place: Place) -> DialledSource:
    """Return the source: a connection for each call."""
    listed = [Call(conversation) for conversation in own.conversations]
    return DialledSource(NAME, 1, partial(_dial, own, place), listed, partial(_refusal, own))


def _refusal(own: ConversationAudioSettings, call: Call) -> str | None:
    if "{org}" not in own.url or (own.org is not None and _ORG not in call.parameters):
        return None
    named = re.fullmatch(ORG_PATTERN, call.parameters.get(_ORG, ""))
    return None if named else "the organisation in the name of its media host is needed"


def _dial(own: ConversationAudioSettings, place: Place, name: str, calls: Sequence[Call]) -> Dial:
    (call,) = calls
    rules = Rules(own.heartbeat == "binary", own.text_audio == "base64", tuple(own.payload_fields))
    description = Description(Source.CONVERSATION_AUDIO, NAME, own.media)
    org = call.parameters.get(_ORG, own.org or "")
    return Dial(
        source_name=NAME,
        connection=name,
        url=place.fill(own.url, org=org, conversation_id=call.conversation_id),
        policy=policy_of(own),
        new_protocol=partial(ConversationAudioProtocol, call, description, rules),
        rest_s=own.rest_s,
        bearer=own.auth == "header",
        wants_token=own.auth == "header",
        claim=Claim(subject=f"the conversation {call.conversation_id}"),
    )
