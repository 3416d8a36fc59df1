"""Whether loss and quality have been bad for long enough to alarm: newest reports, judged together.

A ratio of few packets proves little (of 50, 5 % are exact to 6 points; of 500, to 2). So each judgement looks back over
as many reports as make up a least time and a least number of packets, and an alarm needs two bad ones in a row.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from processors.loss.tuning import Tuning


class Measured(NamedTuple):
    """What one report measured. `expected` and `lost` are packets or samples, `given_up` and `runs` packets."""

    packets: int
    expected: int
    lost: int
    given_up: int
    runs: int


@dataclass(slots=True)
class Trend:
    """The newest reports that measured something, and how many judgements in a row were bad."""

    recent: list[Measured] = field(default_factory=list)
    bad_loss: int = 0
    bad_mos: int = 0

    def take(self, measured: Measured, tuning: Tuning) -> Measured | None:
        """Take a report in; return the sum over the newest that are enough, None while they are not."""
        if measured.expected <= 0:
            return None
        longest = max(1, tuning.alarm_longest_window_s // tuning.window_s)
        self.recent = [*self.recent, measured][-longest:]
        total = Measured(0, 0, 0, 0, 0)
        for number, one in enumerate(reversed(self.recent), 1):
            total = Measured(*(a + b for a, b in zip(total, one, strict=True)))
            long_enough = number * tuning.window_s >= tuning.alarm_window_s
            if number == longest or (long_enough and total.packets >= tuning.alarm_window_packets):
                self.recent = self.recent[-number:]
                return total
        return None

    @staticmethod
    def burst_ratio(total: Measured) -> float:
        """Return the mean run of losses over that of random loss (ITU-T G.107), -1 without losses."""
        if not total.runs:
            return -1.0
        return total.given_up / total.runs * (1 - min(total.given_up, total.expected) / total.expected)
