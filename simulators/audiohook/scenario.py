"""What a call does: its audio, cut into frames, and the actions between them, worked out before anything is sent.

Pure and deterministic: `steps` of the same scenario are the same bytes every time, and every call of one scenario
shares them. Two timelines: *source* samples count through the audio; *position* counts the session's media time, which
pauses and discards lengthen unless they skip audio.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Final, Literal

from simulators.audiohook import media
from simulators.audiohook.media import STEREO, Audio
from simulators.audiohook.messages import RATE_HZ
from simulators.conversation import script

SAMPLES_PER_MS: Final = RATE_HZ // 1000
FRAME_MIN_MS: Final = 20
FRAME_MAX_MS: Final = 200

CloseReason = Literal["end", "error", "disconnect", "reconnect"]


@dataclass(frozen=True, slots=True)
class Leak:
    """What a client that misbehaves sends in the middle of a pause: audio, keys pressed and texts recognised."""

    audio: Audio
    digits: str = ""
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pause:
    """`paused`, then nothing but its leak, then `resumed`. `skips`: the audio of that time is lost, else it waits."""

    at_samples: int
    duration_samples: int
    skips: bool = True
    leak: Leak | None = None


@dataclass(frozen=True, slots=True)
class Discard:
    """`discarded` after a duration without audio. `skips` as for Pause."""

    at_samples: int
    duration_samples: int
    skips: bool = True


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing leaves the client for the duration, then the backlog at once: late but complete."""

    at_samples: int
    duration_samples: int


@dataclass(frozen=True, slots=True)
class Dtmf:
    """A key pressed by the caller."""

    at_samples: int
    digit: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """A text the platform has recognised: handed to whoever sends such texts, for AudioHook has no word for them."""

    at_samples: int
    text: str


@dataclass(frozen=True, slots=True)
class Update:
    """A change of language."""

    at_samples: int
    language: str


@dataclass(frozen=True, slots=True)
class Drop:
    """The socket is cut without `close`; nothing follows."""

    at_samples: int


@dataclass(frozen=True, slots=True)
class Close:
    """`close` before the audio ends; nothing follows."""

    at_samples: int
    reason: CloseReason = "end"


Action = Pause | Discard | Stall | Dtmf | Transcript | Update | Drop | Close


@dataclass(frozen=True, slots=True)
class Frame:
    """One binary message: its bytes, and its samples per channel."""

    payload: bytes
    samples: int


Step = Frame | Action


@dataclass(frozen=True, slots=True)
class Scenario:
    """Audio and actions of a call. Actions stand at source samples; a frame is cut short where one stands.

    `conversation` is the shipped truth if the audio is the shipped conversation. Raises ValueError for a frame length
    outside of 20 to 200 ms, for actions out of order, and for one that begins inside the audio which the one before
    skips.
    """

    name: str
    audio: Audio
    actions: tuple[Action, ...] = ()
    frame_ms: int = FRAME_MAX_MS
    conversation: script.Conversation | None = None

    def __post_init__(self) -> None:
        """Check the rules above."""
        if not FRAME_MIN_MS <= self.frame_ms <= FRAME_MAX_MS:
            message = f"a frame lasts {FRAME_MIN_MS} to {FRAME_MAX_MS} ms, not {self.frame_ms}"
            raise ValueError(message)
        free = 0
        for action in self.actions:
            if action.at_samples < free:
                message = f"{action} begins before the action in front of it has ended"
                raise ValueError(message)
            free = action.at_samples + _skipped(action)

    def steps(self, channels: tuple[str, ...] = STEREO) -> tuple[Step, ...]:
        """Return frames and actions in the order in which they happen, for the channels the server took."""
        return _steps(self, channels)

    def frames(self, channels: tuple[str, ...] = STEREO) -> Iterator[bytes]:
        """Iterate over the binary messages of a call that nothing cuts short, byte for byte."""
        return (step.payload for step in self.steps(channels) if isinstance(step, Frame))

    def at_frame_ms(self, frame_ms: int) -> "Scenario":
        """Return the same with another frame length."""
        return replace(self, frame_ms=frame_ms)


@dataclass(frozen=True, slots=True)
class ExpectedSpan:
    """A true span on the session's media timeline. `intact` is False if a pause or a discard falls into it.

    kind: pause (by channel), dead_air, overtalk (channel None). `at`: start, inside or end of the conversation.
    """

    kind: Literal["pause", "dead_air", "overtalk"]
    channel: int | None
    start_samples: int
    end_samples: int
    at: str
    intact: bool


@dataclass(frozen=True, slots=True)
class PlacedAction:
    """An action and the position on the session's media timeline at which it begins."""

    action: Action
    position_samples: int


def expected_actions(scenario: Scenario) -> tuple[PlacedAction, ...]:
    """Place every action that will happen, if the server neither pauses nor ends the call."""
    placed: list[PlacedAction] = []
    position = 0
    for step in scenario.steps():
        if isinstance(step, Frame):
            position += step.samples
        else:
            placed.append(PlacedAction(step, position))
            position += media_samples(step)
    return tuple(placed)


def expected_truth(scenario: Scenario) -> tuple[ExpectedSpan, ...]:
    """Shift the shipped conversation's true spans to where a server finds them; empty for other audio."""
    shipped = scenario.conversation
    if shipped is None:
        return ()
    groups: tuple[tuple[Literal["pause", "dead_air", "overtalk"], tuple[script.Span, ...]], ...] = (
        ("pause", shipped.pauses),
        ("dead_air", shipped.dead_air),
        ("overtalk", shipped.overtalk),
    )
    edits = [action for action in scenario.actions if isinstance(action, Pause | Discard)]
    return tuple(_shift(kind, span, edits) for kind, spans in groups for span in spans)


def media_samples(action: Action) -> int:
    """Return the media time an action takes."""
    return action.duration_samples if isinstance(action, Pause | Discard) else 0


def conversation() -> Scenario:
    """Return the shipped conversation as it is."""
    return Scenario("conversation", media.conversation(), conversation=script.load())


def _skipped(action: Action) -> int:
    return action.duration_samples if isinstance(action, Pause | Discard) and action.skips else 0


@lru_cache(maxsize=32)
def _steps(scenario: Scenario, channels: tuple[str, ...]) -> tuple[Step, ...]:
    payload = scenario.audio.select(channels)
    length = scenario.audio.samples
    frame = scenario.frame_ms * SAMPLES_PER_MS
    width = len(channels)
    steps: list[Step] = []
    at = 0

    def play(until: int) -> None:
        bounds = [*range(at, until, frame), until]
        for start, end in pairwise(bounds):
            steps.append(Frame(payload[start * width : end * width], end - start))

    for action in scenario.actions:
        play(min(action.at_samples, length))
        steps.append(action)
        if isinstance(action, Drop | Close):
            return tuple(steps)
        at = min(action.at_samples + _skipped(action), length)
    play(length)
    return tuple(steps)


def _shift(
    kind: Literal["pause", "dead_air", "overtalk"], span: script.Span, edits: list[Pause | Discard]
) -> ExpectedSpan:
    start, end, intact = span.start_samples, span.end_samples, True
    for edit in edits:
        edit_end = edit.at_samples + _skipped(edit)
        intact &= edit_end <= span.start_samples or edit.at_samples >= span.end_samples
        if not edit.skips:
            start += edit.duration_samples if edit.at_samples <= span.start_samples else 0
            end += edit.duration_samples if edit.at_samples < span.end_samples else 0
    return ExpectedSpan(kind, span.channel, start, end, span.at, intact)
