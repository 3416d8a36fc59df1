"""A proposal → the settings of the silence service with it: for all calls, or for those of a queue. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from callstream.calibrate.proposal import Proposal
from processors.silence.tuning import Tuning

Entry = Mapping[str, Any]
"""An entry of SILENCE_THRESHOLDS."""

_WHO: Final = ("organisation", "queue")


@dataclass(frozen=True, slots=True)
class Calls:
    """Whose calls were listened to; None: of any."""

    organisation: str | None = None
    queue: str | None = None

    @property
    def who(self) -> dict[str, str]:
        """The names as an entry has them."""
        named = {"organisation": self.organisation, "queue": self.queue}
        return {name: value for name, value in named.items() if value is not None}


def with_proposal(tuning: Tuning, proposal: Proposal) -> Tuning:
    """Return the tuning with these thresholds wherever it has some, those of single queues too."""
    on, off = proposal.on_dbfs, proposal.off_dbfs
    overrides = tuple(replace(each, tuning=replace(each.tuning, on_dbfs=on, off_dbfs=off)) for each in tuning.overrides)
    return replace(tuning, overrides=overrides, on_dbfs=on, off_dbfs=off)


def of_calls(tuning: Tuning, calls: Calls) -> Tuning:
    """Return what counts for these calls."""
    return replace(tuning.at(tuning.place(calls.organisation, calls.queue)), detector=tuning.detector)


def environment(proposal: Proposal) -> dict[str, str]:
    """Return the variables that make the proposal true for all calls."""
    return {"SILENCE_ON_DBFS": f"{proposal.on_dbfs:.1f}", "SILENCE_OFF_DBFS": f"{proposal.off_dbfs:.1f}"}


def environment_of(calls: Calls, proposal: Proposal, entries: Sequence[Entry]) -> dict[str, str]:
    """Return the variable that makes it true for these calls alone; none where they are all calls.

    `entries` are those there are, of which the first that fits a call counts. The new one stands where the one that
    fitted all these calls until now does, with all that it sets, or behind them all; so calls that have an entry of
    their own in front of it keep that.
    """
    if not calls.who:
        return {}
    place = next((number for number, each in enumerate(entries) if _fits(each, calls)), len(entries))
    kept = {name: value for each in entries[place : place + 1] for name, value in each.items() if name not in _WHO}
    new = {**calls.who, **kept, "on_dbfs": proposal.on_dbfs, "off_dbfs": proposal.off_dbfs}
    rest = [dict(each) for each in entries[place:] if _who(each) != calls.who]
    return {"SILENCE_THRESHOLDS": json.dumps([*map(dict, entries[:place]), new, *rest])}


def _fits(entry: Entry, calls: Calls) -> bool:
    return all(calls.who.get(name) == value for name, value in _who(entry).items())


def _who(entry: Entry) -> dict[str, str]:
    return {name: entry[name] for name in _WHO if entry.get(name) is not None}
