"""What a client sends in a pause must arrive, or its absence proves nothing; and must be kept back. Pure."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from callstream.demo.checks import Check
from callstream.demo.evidence import Withheld
from schemas.records import CallEvent
from schemas.symbols import CallEventKind, Source
from simulators.audiohook.report import CallReport
from simulators.audiohook.scenario import Dtmf, Scenario

_COUNTER: Final = re.compile(
    r'^callstream_ingest_observations_total\{source="[^"]*",what="(audio|event)_while_paused"\} (\S+)$', re.MULTILINE
)


def withheld_of(metrics: str) -> Withheld:
    """Read the counts from ingest's metrics."""
    counts = {"audio": 0, "event": 0}
    for what, value in _COUNTER.findall(metrics):
        counts[what] += int(float(value))
    return Withheld(counts["audio"], counts["event"])


def check_withheld(reports: Iterable[CallReport], texts: int, withheld: Withheld) -> Check:
    """Everything that was sent in the pauses, `texts` among it, reached ingest and was kept back there."""
    calls = list(reports)
    frames, keys = sum(call.leaked_frames for call in calls), sum(call.leaked_digits for call in calls)
    found = f"{withheld.frames} of {frames} frames, {withheld.events} of {keys + texts} keys and texts"
    ok = withheld == Withheld(frames, keys + texts) and frames > 0
    return Check("what clients sent in the pause was met and kept back", ok, found)


def check_keys(scenario: Scenario, events: Sequence[CallEvent]) -> Check:
    """Every key pressed outside of the pause is an event, once, in order."""
    pressed = [action.digit for action in scenario.actions if isinstance(action, Dtmf)]
    stored = [event.digit for event in events if event.kind is CallEventKind.DTMF and event.source is Source.AUDIOHOOK]
    found = "".join(digit or "?" for digit in stored) or "none"
    return Check("every key pressed is an event, once and in order", stored == pressed, found)
