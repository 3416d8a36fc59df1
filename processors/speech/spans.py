"""The spans of speech of one session that may still matter, by channel. Times are whole µs of the media clock."""

from collections.abc import Iterable
from typing import Final

from schemas.records import SilenceEvent
from schemas.symbols import Channel, SilenceEventKind

OPEN: Final = -1
_US: Final = 1_000_000
_KINDS: Final = (SilenceEventKind.SPEECH_STARTED, SilenceEventKind.SPEECH)


def micros(samples: int, rate_hz: int) -> int:
    """Return a position in whole µs."""
    return samples * _US // rate_hz


class Spans:
    """`known` has [start, end] by channel code, end `OPEN` while it goes on; `floor`: up to where spans were forgotten.

    Bounded: what ended `keep_us` in front of the newest span is forgotten.
    """

    __slots__ = ("floor", "known")

    def __init__(self) -> None:
        self.known: dict[int, list[list[int]]] = {}
        self.floor: dict[int, int] = {}

    def note(self, event: SilenceEvent, keep_us: int) -> None:
        """Take in an event of silence; all but those of speech are none of ours."""
        if event.kind not in _KINDS:
            return
        start = micros(event.start_samples, event.sample_rate_hz)
        end = OPEN if event.kind is SilenceEventKind.SPEECH_STARTED else micros(event.end_samples, event.sample_rate_hz)
        channel = event.channel.code
        spans = self.known.setdefault(channel, [])
        found = next((span for span in spans if span == [start, OPEN]), None)
        if found is not None:
            found[1] = end
            return
        gone = [span for span in spans if OPEN < span[1] < start - keep_us]
        if gone:
            self.floor[channel] = max(self.floor.get(channel, OPEN), *(span[1] for span in gone))
            spans[:] = [span for span in spans if span not in gone]
        spans.append([start, end])

    def touch(self, channels: Iterable[Channel], start_us: int, end_us: int, margin_us: int) -> bool:
        """Tell whether [start, end) lies within the margin of speech of one of the channels, or may do so."""
        start, end = start_us - margin_us, end_us + margin_us
        for channel in channels:
            if channel.code in self.floor and start < self.floor[channel.code]:
                return True
            for span in self.known.get(channel.code, ()):
                if end > span[0] and (span[1] == OPEN or start < span[1]):
                    return True
        return False
