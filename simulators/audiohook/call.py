"""One call to place: who calls, with which scenario, how fast; and what `open` says of it. It only draws identities."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from simulators.audiohook.messages import Media
from simulators.audiohook.scenario import Scenario

NIL: Final = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call; identities are drawn unless given.

    speed: media seconds per second, 0 for as fast as the server takes it. probe: the platform's connection probe
    (all-zero conversation and participant, empty numbers, closed at once). offers: None for what the audio allows.
    """

    scenario: Scenario
    speed: float = 1.0
    probe: bool = False
    language: str | None = "en-US"
    custom_config: Mapping[str, Any] | None = None
    ani: str = "tel:+4930901820"
    ani_name: str = "Simulated Caller"
    dnis: str = "tel:+493023125"
    offers: tuple[Media, ...] | None = None
    organization_id: UUID = field(default_factory=uuid4)
    conversation_id: UUID = field(default_factory=uuid4)
    session_id: UUID = field(default_factory=uuid4)
    correlation_id: UUID = field(default_factory=uuid4)
    participant_id: UUID = field(default_factory=uuid4)

    def media_offers(self) -> tuple[Media, ...]:
        """Return the offers of `open`."""
        return self.scenario.audio.offers() if self.offers is None else self.offers

    def headers(self) -> dict[str, str]:
        """Return the identities as the upgrade request carries them."""
        return {
            "Audiohook-Organization-Id": str(self.organization_id),
            "Audiohook-Correlation-Id": str(self.correlation_id),
            "Audiohook-Session-Id": str(self.session_id),
        }

    def stated_conversation_id(self) -> str:
        """Return the conversation `open` names; all zeros for the probe."""
        return str(NIL if self.probe else self.conversation_id)

    def open_parameters(self) -> dict[str, object]:
        """Return the parameters of `open`."""
        participant = {
            "id": str(NIL if self.probe else self.participant_id),
            "ani": "" if self.probe else self.ani,
            "aniName": "" if self.probe else self.ani_name,
            "dnis": "" if self.probe else self.dnis,
        }
        parameters: dict[str, object] = {
            "organizationId": str(self.organization_id),
            "conversationId": self.stated_conversation_id(),
            "participant": participant,
            "media": [offer.as_json() for offer in self.media_offers()],
        }
        if self.language is not None:
            parameters["language"] = self.language
        if self.custom_config is not None:
            parameters["customConfig"] = dict(self.custom_config)
        return parameters


def seeded(call: Call, seed: str) -> Call:
    """Return the same call with identities that are the same for the same seed."""
    names = ("organization_id", "conversation_id", "session_id", "correlation_id", "participant_id")
    identities: dict[str, Any] = {name: uuid5(NAMESPACE_OID, f"{seed}/{name}") for name in names}
    return replace(call, **identities)
