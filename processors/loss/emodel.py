"""How lost packets sound: the rating R and an estimate of MOS-LQ by the E-model (ITU-T G.107, 06/2015).

R = R0 - Id - Ie,eff, with R0 = 93.2: Ro - Is - Idle and A at the defaults of every other parameter (the arithmetic
written out gives 93.206). A tap cannot know the delay from mouth to ear, so quality is that of listening: Id is 0.
G.107 is made for planning: the result is an estimate, and its inputs stand beside it.
"""

import math
from dataclasses import dataclass
from typing import Final

from schemas.symbols import Codec

R_DEFAULT: Final = 93.2
"""R with every parameter at its default and nothing lost."""
MAX_LOSS_PERCENT: Final = 20.0
"""Packet loss from here on is outside the range of G.107, Table 2."""
MAX_BURST_RATIO: Final = 2.0
"""Beyond it the effect of bursts is extrapolated (range of G.107, 03/2005)."""
BEST: Final = 100.0
"""The top of both scales: R of a perfect connection, and all packets in percent."""
SENSITIVE_DELAY_MS: Final = 100.0
"""Shorter one-way delays impair nothing: mT at its default (G.107, 7.4)."""


@dataclass(frozen=True, slots=True)
class Impairment:
    """Ie and Bpl of a codec with one way of concealing losses (ITU-T G.113, Appendix I)."""

    equipment: float
    loss_robustness: float


_G711: Final = (Impairment(0.0, 4.3), Impairment(0.0, 25.1))
AGREED: Final = {Codec.PCMU.code: _G711, Codec.PCMA.code: _G711}
"""Codec code → its values without and with concealment (G.711 Appendix I); codecs that are not here have none."""


@dataclass(frozen=True, slots=True)
class Quality:
    """The estimate and all it was made of.

    `burst_ratio` is the one that was reckoned with: 1 where the losses were spread more evenly than at random or where
    there were none. `r_factor` is within 0 to 100, `mos_lq_est` within 1 to 4.5. `in_range` is false where the inputs
    are outside what the model is valid for or R had to be clamped.
    """

    packet_loss_percent: float
    burst_ratio: float
    equipment_impairment: float
    loss_robustness: float
    concealment: bool
    r_factor: float
    mos_lq_est: float
    in_range: bool


def quality(codec: int, loss_percent: float, burst_ratio: float, *, concealment: bool) -> Quality | None:
    """Return what a share of lost packets does to speech; None where no values are agreed or nothing was measured.

    `codec` is the code of a `Codec`. `loss_percent` is what was lost on the way or came too late to be played, of 100
    expected packets, -1 where nothing was expected. `burst_ratio` is the mean length of a run of losses over that of
    random loss (`BurstFigures.burst_ratio`), -1 where it is unknown, which it may be only where nothing was lost.
    """
    agreed = AGREED.get(codec)
    if agreed is None or not 0 <= loss_percent <= BEST or (loss_percent > 0 and not burst_ratio >= 0):
        return None
    impairment = agreed[concealment]
    used = max(1.0, burst_ratio) if loss_percent > 0 else 1.0
    rating = R_DEFAULT - effective_impairment(impairment, loss_percent, used)
    clamped = min(BEST, max(0.0, rating))
    return Quality(
        packet_loss_percent=loss_percent,
        burst_ratio=used,
        equipment_impairment=impairment.equipment,
        loss_robustness=impairment.loss_robustness,
        concealment=concealment,
        r_factor=clamped,
        mos_lq_est=mos(clamped),
        in_range=clamped == rating and loss_percent <= MAX_LOSS_PERCENT and used <= MAX_BURST_RATIO,
    )


def effective_impairment(impairment: Impairment, loss_percent: float, burst_ratio: float) -> float:
    """Return Ie,eff (G.107, 7.5). `burst_ratio` is above 0."""
    ie = impairment.equipment
    return ie + (95 - ie) * loss_percent / (loss_percent / burst_ratio + impairment.loss_robustness)


def delay_impairment(one_way_ms: float) -> float:
    """Return Idd, what a delay from mouth to ear takes off R in conversation (G.107, 7.4; sT = 1, mT = 100 ms)."""
    if one_way_ms <= SENSITIVE_DELAY_MS:
        return 0.0
    x = math.log2(one_way_ms / SENSITIVE_DELAY_MS)
    return float(25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2))


def mos(r_factor: float) -> float:
    """Return the mean opinion score of a rating (G.107, Annex B), never below 1: the cubic dips there under R = 6.5."""
    if r_factor <= 0:
        return 1.0
    if r_factor >= BEST:
        return 4.5
    return max(1.0, 1 + 0.035 * r_factor + r_factor * (r_factor - 60) * (BEST - r_factor) * 7e-6)
