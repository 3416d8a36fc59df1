"""What was found in a file beside audio: frames passed over, by kind, and damage. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Defect(StrEnum):
    """Why a frame of the file brought no audio."""

    BAD_BLOCK = "bad_block"
    CUT_SHORT = "cut_short"
    UNKNOWN_LINK_TYPE = "unknown_link_type"
    NOT_IP = "not_ip"
    NOT_UDP = "not_udp"
    FRAGMENT = "fragment"
    BAD_LENGTH = "bad_length"
    NOT_RTP = "not_rtp"
    BAD_RTP_HEADER = "bad_rtp_header"
    RTCP = "rtcp"
    UNKNOWN_PAYLOAD_TYPE = "unknown_payload_type"
    PART_OF_A_SAMPLE = "part_of_a_sample"
    LOOKS_ENCRYPTED = "looks_encrypted"
    STRAY = "stray"
    """Looked like RTP, but no second one with a number near to it came."""
    NOT_CHOSEN = "not_chosen"
    OTHER_WAY = "other_way"
    """Of a chosen SSRC, but between other ends, as on the far side of a border element: every packet once more."""
    TOO_MANY_STREAMS = "too_many_streams"


class Frame(NamedTuple):
    """A captured frame. `at_s` since the epoch, -1 where the file has no times."""

    at_s: float
    link: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """From this byte of the file on, nothing can be read."""

    offset: int
    what: str

    def __str__(self) -> str:
        return f"damaged at byte {self.offset}: {self.what}"


@dataclass(slots=True)
class Findings:
    """Counts over a file. `payload_types`: packets of types that nobody explained."""

    frames: int = 0
    packets: int = 0
    sessions: int = 0
    audio_bytes: int = 0
    first_s: float = -1.0
    last_s: float = -1.0
    passed_over: Counter[Defect] = field(default_factory=Counter)
    payload_types: Counter[int] = field(default_factory=Counter)
    damage: Damage | None = None
    cut_off_bytes: int = 0

    def see(self, at_s: float) -> None:
        """Take the time of a frame, or of a record of audio."""
        if self.first_s < 0:
            self.first_s = at_s
        self.last_s = max(self.last_s, at_s)
