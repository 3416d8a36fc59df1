"""Scenes: what one channel of a call carries for a while, and the truth per 20-ms frame. One number makes one scene."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.silence import codecs, sounds
from benchmarks.silence.corpus import RATE_HZ, Clip, Samples
from benchmarks.silence.sounds import Chance
from benchmarks.silence.split import UNHEARD_NOISES
from benchmarks.silence.talk import FRAME, Flags, Talk, talk

SECONDS: Final = 40
FULL_SCALE: Final = 32_768.0
GAPS_ONLY: Final = "comfort"
"""The noise that is heard only while the talker is silent, as discontinuous transmission makes it."""

SPEECHLESS: Final = ("music", "ringback", "busy", "dtmf", "clicks", "crackle", "line", "silence", "noise")


@dataclass(frozen=True, slots=True)
class Scene:
    """Samples as they are on the line, `speech` per frame, and under which names the scene is counted.

    `active` is 1 where somebody means to be heard (speech, music, tones), 0 where not, -1 where nobody could say.
    """

    name: str
    samples: NDArray[np.int16]
    speech: Flags
    active: NDArray[np.int8]
    about: dict[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a conversation is spoiled. `snr_db` is against the talker's active level, which is `level_dbfs`."""

    noise: str = "clean"
    snr_db: float = 90.0
    level_dbfs: float = -25.0
    codec: str = "pcmu"
    spoiled: str = "plain"
    extra: dict[str, float] = field(default_factory=dict)


class Studio:
    """The clips of one part, by speaker, and what makes scenes of them."""

    def __init__(self, clips: list[Clip], music: list[Clip], seconds: int = SECONDS) -> None:
        self.size = seconds * RATE_HZ
        self.music = music
        self.speakers: dict[str, list[Clip]] = {}
        for clip in clips:
            self.speakers.setdefault(f"{clip.speaker} {clip.language}", []).append(clip)
        self.names = sorted(self.speakers)

    def conversation(self, number: int, plan: Plan, speaker: str | None = None) -> Scene:
        """Return a talker under a plan. The speaker is drawn where none is named; real ones three times as often."""
        chance = np.random.default_rng(number)
        name = speaker or self._speaker(chance)
        share = chance.uniform(0.35, 0.65)
        voice = talk(
            self.speakers[name], self.size, chance, share, Fraction(round(plan.extra.get("speed", 1) * 20), 20)
        )
        gain = FULL_SCALE * 10 ** (plan.level_dbfs / 20)
        mixed = voice.samples + self._noise(plan, voice, name, chance) * 10 ** (-plan.snr_db / 20)
        samples = codecs.round_trip(self._spoil(mixed * gain, plan, name, chance), plan.codec)
        about = {
            "noise": plan.noise,
            "snr": f"{plan.snr_db:.0f} dB" if plan.snr_db < 60 else "none",
            "level": f"{plan.level_dbfs:.0f} dBFS",
            "codec": plan.codec,
            "spoiled": plan.spoiled,
            "language": self.speakers[name][0].language,
            "speaker": name.split()[0],
        }
        active = voice.speech.astype(np.int8)
        if plan.spoiled == "echo":
            active[~voice.speech] = -1
        return Scene(f"{number} {name} {plan.noise} {plan.spoiled}", samples, voice.speech, active, about)

    def speechless(self, number: int, kind: str, level_dbfs: float, codec: str = "pcmu") -> Scene:
        """Return a channel on which nobody speaks, over faint line noise."""
        chance = np.random.default_rng(number)
        floor = sounds.coloured(self.size, chance, chance.uniform(0, 1.5)) * FULL_SCALE * 10 ** (-66 / 20)
        gain = FULL_SCALE * 10 ** (level_dbfs / 20)
        active = np.zeros(self.size // FRAME, np.int8)
        if kind == "silence":
            sound, floor = np.zeros(self.size), np.zeros(self.size)
        elif kind == "line":
            sound, floor = sounds.coloured(self.size, chance, chance.uniform(0, 1.5)) * gain, np.zeros(self.size)
        elif kind == "music":
            sound = self._piece(chance) * gain
        elif kind == "noise":
            steady = sorted(sounds.NOISES.keys() - UNHEARD_NOISES - {"clicks", "crackle"})
            sound = sounds.NOISES[str(chance.choice(steady))](self.size, chance) * gain
        else:
            tones = {"ringback": sounds.ringback, "busy": sounds.busy, "dtmf": sounds.dtmf}
            sound = (tones | sounds.NOISES)[kind](self.size, chance) * gain
        if kind in {"clicks", "crackle"}:
            active[:] = -1
        elif kind in {"music", "ringback", "busy", "dtmf"}:
            power = np.mean(sound.reshape(-1, FRAME) ** 2, axis=1) / gain**2
            active = np.where(power > 0.1, 1, np.where(power > 1e-4, -1, 0)).astype(np.int8)
        samples = codecs.round_trip(sound + floor, codec)
        about = {"noise": f"no speech: {kind}", "level": f"{level_dbfs:.0f} dBFS", "codec": codec}
        return Scene(f"{number} {kind}", samples, np.zeros(len(active), np.bool_), active, about)

    def _speaker(self, chance: Chance) -> str:
        weights = np.array([1.0 if name.startswith(("espeak", "flite")) else 6.0 for name in self.names])
        return self.names[int(chance.choice(len(self.names), p=weights / weights.sum()))]

    def _piece(self, chance: Chance) -> Samples:
        piece = self.music[int(chance.integers(len(self.music)))].samples
        start = int(chance.integers(0, len(piece) - self.size))
        return sounds.unit(piece[start : start + self.size])

    def _noise(self, plan: Plan, voice: Talk, speaker: str, chance: Chance) -> Samples:
        if plan.noise == "clean":
            return np.zeros(self.size)
        if plan.noise == "babble":
            noise = self._babble(speaker, chance)
        elif plan.noise == "music":
            noise = self._piece(chance)
        else:
            noise = sounds.NOISES[plan.noise](self.size, chance)
        if plan.noise == GAPS_ONLY:
            gaps = np.repeat(~voice.speech, FRAME)
            noise = noise * np.concatenate((gaps, np.zeros(self.size - len(gaps), np.bool_)))
        if plan.spoiled == "step":
            at = int(self.size * chance.uniform(0.3, 0.7))
            noise[at:] *= 10 ** (plan.extra["step_db"] / 20)
        if plan.spoiled == "fade":
            noise = codecs.faded(noise, chance, 7.0)
        return noise

    def _babble(self, speaker: str, chance: Chance) -> Samples:
        others = [name for name in self.names if name != speaker and not name.startswith(("espeak", "flite"))]
        total = np.zeros(self.size)
        for _ in range(6):
            name = others[int(chance.integers(len(others)))]
            total += talk(self.speakers[name], self.size, chance, 0.8).samples
        return sounds.unit(total)

    def _spoil(self, samples: Samples, plan: Plan, speaker: str, chance: Chance) -> Samples:
        kind = plan.spoiled
        if kind == "offset":
            return samples + plan.extra["offset"]
        if kind in {"holes", "concealed"}:
            return codecs.lossy(samples, chance, plan.extra["loss"], repeat=kind == "concealed")
        if kind == "agc":
            return codecs.gain_controlled(samples, FULL_SCALE * 10 ** (-22 / 20), 15)
        if kind == "drift":
            return codecs.faded(samples, chance, 4.0)
        if kind == "echo":
            others = [name for name in self.names if name != speaker]
            other = talk(self.speakers[others[int(chance.integers(len(others)))]], self.size, chance, 0.5)
            loud = FULL_SCALE * 10 ** (plan.level_dbfs / 20)
            return samples + codecs.echo_of(other.samples * loud, chance, plan.extra["loss_db"])
        return samples


KINDS: Final = ("white", "pink", "brown", "street", "babble", "fan", "hum", "comfort", "clicks", "crackle")


def grid(*, gsm: bool) -> list[Plan]:
    """Return the conversations of the evaluation: every noise at every SNR and level, then the other troubles."""
    plans = [
        Plan(noise, snr, level, codec="pcma" if (place + step) % 2 else "pcmu")
        for place, noise in enumerate(KINDS)
        for step, snr in enumerate((30.0, 20.0, 10.0, 5.0))
        for level in (-35.0, -25.0, -15.0)
    ]
    plans += [
        Plan(level_dbfs=level, codec=codec) for level in (-35.0, -25.0, -15.0) for codec in ("pcmu", "pcma", "l16")
    ]
    for noise in ("white", "pink", "street"):
        plans += [
            Plan(noise, 10.0 if step < 0 else 30.0, spoiled="step", extra={"step_db": step}) for step in (-20.0, 20.0)
        ]
        plans += [
            Plan(noise, 18.0, spoiled="fade"),
            Plan(noise, 20.0, spoiled="agc"),
            Plan(noise, 20.0, spoiled="drift"),
        ]
        plans += [Plan(noise, 20.0, spoiled="offset", extra={"offset": value}) for value in (-1500.0, 400.0)]
        plans += [Plan(noise, 20.0, spoiled=kind, extra={"loss": 0.06}) for kind in ("holes", "concealed")]
        plans += [Plan(noise, 30.0, spoiled="echo", extra={"loss_db": loss}) for loss in (25.0, 35.0)]
        if gsm:
            plans += [Plan(noise, snr, codec="gsm") for snr in (30.0, 15.0)]
    return plans


def evaluation(studio: Studio, first: int, *, gsm: bool, every: int = 1) -> Iterator[Scene]:
    """Yield the scenes of the evaluation, or every nth of them. Speakers take turns."""
    real = [name for name in studio.names if not name.startswith(("espeak", "flite"))]
    made = [name for name in studio.names if name not in real]
    for number, plan in enumerate(grid(gsm=gsm)):
        if number % every == 0:
            turn = number // every
            speaker = made[turn // 6 % len(made)] if made and turn % 6 == 5 else real[(turn * 7 // 6) % len(real)]
            yield studio.conversation(first + number, plan, speaker)
    for number, kind in enumerate(SPEECHLESS):
        levels = (-70.0, -60.0, -50.0, -40.0) if kind == "line" else (-30.0, -20.0, -12.0)
        for place, level in enumerate(levels if kind != "silence" else levels[:1]):
            if every == 1 or place == 1 or kind == "silence":
                yield studio.speechless(first + 1000 + 10 * number + place, kind, level)


def training(studio: Studio, first: int, count: int) -> Iterator[Scene]:
    """Yield scenes drawn at random for training, a quarter of them without speech."""
    noises = [kind for kind in (*KINDS, "clean", "music") if kind not in UNHEARD_NOISES]
    weights = np.array(
        [{"babble": 2.5, "clicks": 2.5, "crackle": 2.0, "comfort": 1.5, "music": 0.6}.get(n, 1.0) for n in noises]
    )
    for number in range(first, first + count):
        chance = np.random.default_rng((number, 1))
        codec = str(
            chance.choice(["pcmu", "pcma", "gsm" if codecs.has_gsm() else "pcmu", "l16"], p=[0.5, 0.25, 0.15, 0.1])
        )
        if chance.random() < 0.22:
            kind = str(chance.choice(SPEECHLESS, p=[0.3, 0.08, 0.08, 0.08, 0.1, 0.08, 0.05, 0.02, 0.21]))
            low, high = {"line": (-75, -35), "noise": (-60, -12)}.get(kind, (-40, -10))
            yield studio.speechless(number, kind, chance.uniform(low, high), codec)
            continue
        spoiled = str(
            chance.choice(
                ["plain", "step", "fade", "agc", "drift", "offset", "holes", "concealed", "echo"],
                p=[0.52, 0.06, 0.06, 0.06, 0.06, 0.06, 0.06, 0.06, 0.06],
            )
        )
        extra = {
            "step_db": chance.uniform(-22, 22),
            "offset": chance.uniform(-3000, 3000) * chance.random(),
            "loss": chance.uniform(0.01, 0.12),
            "loss_db": chance.uniform(20, 42),
            "speed": chance.choice([0.8, 0.85, 0.9, 0.95, 1.0, 1.0, 1.0, 1.1, 1.2]),
        }
        noise = str(chance.choice(noises, p=weights / weights.sum()))
        low_db = 10 if noise == "music" else 2
        yield studio.conversation(
            number,
            Plan(noise, chance.uniform(low_db, 34), chance.uniform(-38, -13), codec, spoiled, extra),
        )
