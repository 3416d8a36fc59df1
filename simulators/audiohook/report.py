"""What was sent, when and how it ended: one report per call and one for a run, as JSON and as a table."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from rich.table import Table

Outcome = Literal["running", "closed", "close timeout", "lost", "dropped", "refused", "unreachable"]
_ROWS_MAX: Final = 20
_BIN_MS: Final = 0.1


class Histogram:
    """Durations in bins of 0.1 ms, so that an hour of frames takes no more room than a minute."""

    def __init__(self) -> None:
        """Start empty."""
        self.bins: Counter[int] = Counter()
        self.max_ms = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration; a negative one counts as none."""
        milliseconds = max(0.0, seconds * 1e3)
        self.bins[int(milliseconds / _BIN_MS)] += 1
        self.max_ms = max(self.max_ms, milliseconds)

    def merge(self, other: "Histogram") -> None:
        """Add all of another's durations."""
        self.bins.update(other.bins)
        self.max_ms = max(self.max_ms, other.max_ms)

    def percentile_ms(self, ratio: float) -> float:
        """Return the upper edge of the bin in which the nearest-rank percentile lies; 0 if empty."""
        rank = math.ceil(ratio * self.bins.total())
        for index in sorted(self.bins):
            rank -= self.bins[index]
            if rank <= 0:
                return min(round((index + 1) * _BIN_MS, 1), round(self.max_ms, 3))
        return 0.0

    def summary(self) -> dict[str, float | int]:
        """Return count, p50, p99 and maximum, in ms."""
        return {
            "count": self.bins.total(),
            "p50_ms": self.percentile_ms(0.5),
            "p99_ms": self.percentile_ms(0.99),
            "max_ms": round(self.max_ms, 3),
        }


@dataclass(slots=True)
class CallReport:
    """One call as it went. Frames, bytes and sha256 cover the binary messages handed to the socket, in order.

    frame_sizes: run lengths of (bytes, messages in a row). actions: as executed, with their position on the media
    timeline. media: the accepted channels, None before `opened`, empty if the server took none. position_samples: the
    last one stated. leaked_frames, leaked_digits: sent though the session was paused, and counted nowhere else.
    """

    conversation_id: str
    session_id: str
    correlation_id: str
    scenario: str
    outcome: Outcome = "running"
    expected_outcome: Outcome = "closed"
    detail: str = ""
    http_status: int | None = None
    disconnect_reason: str | None = None
    opened_ms: float | None = None
    media: tuple[str, ...] | None = None
    frames_sent: int = 0
    bytes_sent: int = 0
    samples_sent: int = 0
    position_samples: int = 0
    sha256: str = ""
    leaked_frames: int = 0
    leaked_digits: int = 0
    frame_sizes: list[list[int]] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    round_trips: Histogram = field(default_factory=Histogram)
    lateness: Histogram = field(default_factory=Histogram)

    @property
    def ok(self) -> bool:
        """True if the call ended as its scenario meant it to, and the server gave no reason for an `error`."""
        return (
            self.outcome == self.expected_outcome and not self.faults and self.disconnect_reason in {None, "completed"}
        )

    def count_frame(self, size_bytes: int, samples: int) -> None:
        """Note one binary message sent."""
        self.frames_sent += 1
        self.bytes_sent += size_bytes
        self.samples_sent += samples
        if self.frame_sizes and self.frame_sizes[-1][0] == size_bytes:
            self.frame_sizes[-1][1] += 1
        else:
            self.frame_sizes.append([size_bytes, 1])

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in {"round_trips", "lateness"}}
        return plain | {
            "ok": self.ok,
            "pong_round_trip": self.round_trips.summary(),
            "lateness": self.lateness.summary(),
        }


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a run. lateness: how long after its due time a frame was sent, stalls not counted."""

    calls: int
    calls_ok: int
    frames_sent: int
    bytes_sent: int
    faults: int
    pong_round_trip: dict[str, float | int]
    lateness: dict[str, float | int]


@dataclass(frozen=True, slots=True)
class RunReport:
    """All calls of a run, in the order in which they were given."""

    calls: tuple[CallReport, ...]

    @property
    def ok(self) -> bool:
        """True if every call is."""
        return all(call.ok for call in self.calls)

    def totals(self) -> Totals:
        """Sum up."""
        return Totals(
            calls=len(self.calls),
            calls_ok=sum(call.ok for call in self.calls),
            frames_sent=sum(call.frames_sent for call in self.calls),
            bytes_sent=sum(call.bytes_sent for call in self.calls),
            faults=sum(len(call.faults) for call in self.calls),
            pong_round_trip=_merged(call.round_trips for call in self.calls).summary(),
            lateness=_merged(call.lateness for call in self.calls).summary(),
        )

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"ok": self.ok, "totals": asdict(self.totals()), "calls": [call.as_json() for call in self.calls]}

    def table(self) -> Table:
        """Return the calls, failed ones first, the first twenty, and the sums."""
        totals = self.totals()
        table = Table(title=f"{totals.calls_ok} of {totals.calls} calls went as meant", show_footer=True)
        footers = ("all", "", str(totals.frames_sent), str(totals.bytes_sent), _times(totals.pong_round_trip))
        headers = ("conversation", "outcome", "frames", "bytes", "pong p50/p99/max ms")
        for header, footer in zip(headers, footers, strict=True):
            table.add_column(header, footer)
        table.add_column("late p50/p99/max ms", _times(totals.lateness))
        table.add_column("remarks")
        for call in sorted(self.calls, key=lambda call: call.ok)[:_ROWS_MAX]:
            table.add_row(*_row(call))
        return table


def _row(call: CallReport) -> Sequence[str]:
    remarks = [call.detail, *(f"{fault['code']} {fault['message']}" for fault in call.faults)]
    return (
        call.conversation_id,
        call.outcome if call.ok else f"[red]{call.outcome}[/red]",
        str(call.frames_sent),
        str(call.bytes_sent),
        _times(call.round_trips.summary()),
        _times(call.lateness.summary()),
        "; ".join(remark for remark in remarks if remark),
    )


def _times(summary: dict[str, float | int]) -> str:
    return f"{summary['p50_ms']}/{summary['p99_ms']}/{summary['max_ms']}"


def _merged(histograms: Iterable[Histogram]) -> Histogram:
    merged = Histogram()
    for histogram in histograms:
        merged.merge(histogram)
    return merged
