"""The scripted call of the demo: everything that happens to a call in one conversation of half a minute. Pure.

The caller presses keys and is understood by the platform, the network stalls, the platform skips, and a secure pause
holds the call up. In that pause the client misbehaves: it goes on sending what was said and pressed, marked so that it
can be looked for everywhere. None of it may be found.
"""

from dataclasses import replace
from typing import Final

from simulators.audiohook import media
from simulators.audiohook.media import Audio
from simulators.audiohook.scenario import (
    SAMPLES_PER_MS,
    Action,
    Discard,
    Dtmf,
    Leak,
    Pause,
    Scenario,
    Stall,
    Transcript,
    conversation,
)
from simulators.conversation import script

MARKER_PERIOD: Final = media.tone(3, frequency_hz=2000 / 3, rms=0.25).payload
"""Two notes whose waves fit into 24 samples: 48 bytes, interleaved, that repeat and stand nowhere else."""
MARKER_TONE: Final = Audio(MARKER_PERIOD * 300)
MARKER_DIGIT: Final = "D"
MARKER_TEXTS: Final = ("my card number is 5555 5555 5555 4444", "and the code on its back is 737")
"""Recognised in the pause, and within a second after it."""
RESUME_GUARD_MS: Final = 1800
"""For so long after a pause a text may still be of the time of the pause: the marked one is, a second before its end;
all others come a second or more behind it."""
_BEHIND_GUARD_MS: Final = 1000
_RECOGNISED_AFTER_MS: Final = 400


def demo() -> Scenario:
    """Return the shipped conversation with a stall of 900 ms, a discard of 1.2 s and a pause of 3 s.

    Discard and pause stand where both speakers are loud, and hold the audio back; so every scripted pause stays whole.
    """
    shipped = script.load()
    first, second, _ = shipped.edit_points_samples
    quiet = max(shipped.dead_air, key=lambda span: span.end_samples - span.start_samples).start_samples
    leak = Leak(MARKER_TONE, MARKER_DIGIT, MARKER_TEXTS[:1])
    ms = SAMPLES_PER_MS
    actions: list[Action] = [
        Stall(shipped.speech[0].start_samples + 700 * ms, 900 * ms),  # clear of the first pings
        Discard(first, 1200 * ms, skips=False),
        Dtmf(quiet + 1000 * ms, "4"),
        Dtmf(quiet + 1500 * ms, "7"),
        Dtmf(quiet + 2500 * ms, "1"),
        Pause(second, 3000 * ms, skips=False, leak=leak),
        Transcript(second + 800 * ms, MARKER_TEXTS[1]),
        Dtmf(second + 1500 * ms, "1"),
        Dtmf(second + 3300 * ms, "#"),
        *_understood(shipped, second),
    ]
    # of one moment, what is not of the pause comes behind it
    ordered = sorted(actions, key=lambda action: action.at_samples)
    return replace(conversation(), name="demo", actions=tuple(ordered))


def inputs(scenario: Scenario) -> tuple[str, ...]:
    """Return the keys and texts of a call that may be heard, in order: all that were not of the pause."""
    return tuple(
        action.digit if isinstance(action, Dtmf) else action.text
        for action in scenario.actions
        if isinstance(action, Dtmf) or (isinstance(action, Transcript) and action.text not in MARKER_TEXTS)
    )


def _understood(shipped: script.Conversation, pause_at: int) -> list[Transcript]:
    """Return what the platform understands of the caller, each text a moment after its last word.

    What ends in the guard behind the pause comes a second after that is over.
    """
    free_at = pause_at + (RESUME_GUARD_MS + _BEHIND_GUARD_MS) * SAMPLES_PER_MS
    texts = []
    for line in shipped.speech:
        if line.channel == 0:
            at = line.end_samples + _RECOGNISED_AFTER_MS * SAMPLES_PER_MS
            texts.append(Transcript(free_at if pause_at <= at < free_at else at, line.text))
    return texts
