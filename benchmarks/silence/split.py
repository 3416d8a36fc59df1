"""Which recordings, voices, pieces of music and generator numbers tune the detector and which only judge it.

Fixed before anything was tuned. Two speakers and half of the synthetic voices are never heard in training; of the other
speakers the hash of a prompt's name decides, so the same sentence lies on one side in every language.
"""

from enum import Enum
from hashlib import sha256
from typing import Final


class Part(Enum):
    """Training may be used for anything; held out only for the final score."""

    TRAINING = "training"
    HELD_OUT = "held-out"


HELD_OUT_SPEAKERS: Final = frozenset({"ivrvoice", "menardi"})
"""Speakers of whom no recording is in training: one Russian, one Italian voice."""

HELD_OUT_SHARE: Final = 0.3
"""Of the prompts of the other speakers (Allison in English and Spanish, June in French, Carlo in Italian)."""

ESPEAK_VOICES: Final = {
    Part.TRAINING: ("en-us+m1", "en-gb+m3", "es+m5", "fr+m7", "it+m2", "pl+m8", "nl+m4", "tr+f2", "en-us+f4", "de+m6"),
    Part.HELD_OUT: ("ru+m1", "pt+m3", "de+f3", "en-gb-scotland+m5", "sv+m2", "it+m7", "es-419+f1", "fi+m4"),
}
FLITE_VOICES: Final = {Part.TRAINING: ("kal16", "awb"), Part.HELD_OUT: ("rms", "slt")}

MUSIC: Final = {
    Part.TRAINING: ("macroform-cold_day", "macroform-robot_dity", "reno_project-system"),
    Part.HELD_OUT: ("macroform-the_simplicity", "manolo_camp-morning_coffee"),
}

GENERATOR: Final = {Part.TRAINING: 1000, Part.HELD_OUT: 7_100_000}
"""First generator number of each part. Training counts up from its own and never reaches the other."""

CI_GENERATOR: Final = 7_900_000
"""The number of the small set that continuous integration scores."""

UNHEARD_NOISES: Final = frozenset({"brown", "fan"})
"""Kinds of noise that training never hears, to see how far the detector carries."""


def part_of(speaker: str, name: str) -> Part:
    """Return the part of a prompt; `name` is its file name below the language's folder, without suffix."""
    if speaker in HELD_OUT_SPEAKERS:
        return Part.HELD_OUT
    chance = int.from_bytes(sha256(name.encode()).digest()[:4], "big") / 2**32
    return Part.HELD_OUT if chance < HELD_OUT_SHARE else Part.TRAINING
