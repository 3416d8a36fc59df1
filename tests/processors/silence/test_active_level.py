"""The active level, held against ITU-T P.56 computed sample by sample."""

import math

import numpy as np
import pytest

from audio.g711 import decode_pcmu
from processors.silence.active_level import MARGIN_DB
from schemas.symbols import Channels, Codec
from simulators.conversation import script
from tests.processors.silence.calls import RATE_HZ, Call, run


def reference_dbfs(samples: np.ndarray) -> float:
    """Method B of P.56: two filters of 30 ms, a hangover of 200 ms, thresholds a factor of two apart."""
    keep = math.exp(-1 / (0.03 * RATE_HZ))
    first = second = 0.0
    envelope = np.empty(len(samples))
    for at, value in enumerate(np.abs(samples.astype(float)).tolist()):
        first = keep * first + (1 - keep) * value
        second = keep * second + (1 - keep) * first
        envelope[at] = second
    energy = float(np.sum(samples.astype(float) ** 2)) / 32768**2
    found = []
    for power in range(15):
        reached = np.flatnonzero(envelope >= 2**power)
        if len(reached) == 0:
            break
        gaps = np.minimum(np.diff(reached, append=len(samples)), RATE_HZ // 5)
        level = 10 * math.log10(energy / gaps.sum())
        found.append((level, level - 20 * math.log10(2**power / 32768) - MARGIN_DB))
    below = next(index for index, (_, above) in enumerate(found) if above <= 0)
    (low, over), (high, under) = found[below - 1], found[below]
    return low + (high - low) * over / (over - under)


def measured(samples: np.ndarray) -> float | None:
    return run(Call().say(samples.astype("<i2").tobytes()).close()).totals[0].active_level_dbfs


def noise(seconds: float, rms: float, seed: int = 1) -> np.ndarray:
    return np.rint(np.random.default_rng(seed).standard_normal(int(seconds * RATE_HZ)) * rms)


def test_it_is_the_level_of_steady_noise():
    samples = noise(4, 1000)
    level = 20 * math.log10(1000 / 32768)
    assert measured(samples) == pytest.approx(level, abs=0.1)
    assert reference_dbfs(samples) == pytest.approx(level, abs=0.1)


def test_pauses_do_not_lower_it():
    samples = np.concatenate([part for seed in range(4) for part in (noise(1, 1000, seed), noise(1, 3, seed))])
    assert measured(samples) == pytest.approx(reference_dbfs(samples), abs=0.3)
    assert measured(samples) == pytest.approx(20 * math.log10(1000 / 32768), abs=1)


def test_of_speech_it_is_that_of_the_recommendation_within_half_a_db():
    conversation = script.load()
    call = Call(codec=Codec.PCMU, channels=Channels.EXTERNAL_INTERNAL).say(conversation.payload, 320 * 10)
    totals = run(call.close()).totals
    for side, total in enumerate(totals):
        samples = decode_pcmu(conversation.payload)[side::2]
        assert total.active_level_dbfs == pytest.approx(reference_dbfs(samples), abs=0.5)


def test_windows_and_silence_have_none():
    found = run(Call().say(bytes(32_000)).close())
    assert found.totals[0].active_level_dbfs is None
    assert {window.active_level_dbfs for window in run(Call().say(noise(2, 900).astype("<i2").tobytes())).windows} == {
        None
    }
