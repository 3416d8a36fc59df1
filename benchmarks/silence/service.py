"""What the silence service tells of a scene: the same samples as a session of `calls.audio`, through its task.

The flags are the spans of `calls.silence` as they stand at the end: closed pauses, dropped blips, the level rule. Each
is taken where it says speech is, not when it said so: a span is announced once it is certain.
"""

import numpy as np
from numpy.typing import NDArray

from audio.frames import FrameEncoder
from benchmarks.silence.corpus import RATE_HZ
from benchmarks.silence.scoring import Decisions
from benchmarks.silence.talk import FRAME
from processors.silence.config import SilenceSettings, tuning
from processors.silence.logic import SilenceProcessor
from runtime.testing import Driver
from schemas.records import AudioFrame, SessionInfo, SilenceEvent
from schemas.symbols import Channels, Codec, FrameKind, Reason, SilenceEventKind, Source
from schemas.topics import SILENCE

_RECORD = 10 * FRAME


def as_told(samples: NDArray[np.int16]) -> list[Decisions]:
    """Return the speech the service tells of, scene by scene. `samples` is (scenes, samples)."""
    driver = Driver(SilenceProcessor(tuning(SilenceSettings())))
    encode = FrameEncoder(driver.store).encode
    scenes, size = samples.shape
    ids = [(number + 1).to_bytes(16, "big") for number in range(scenes)]

    def send(scene: int, sequence: int, **values: object) -> None:
        frame = AudioFrame(  # type: ignore[arg-type]
            source=Source.AUDIOHOOK, session_id=ids[scene], sample_rate_hz=RATE_HZ, sequence=sequence, **values
        )
        driver.send_value(encode(frame), key=f"scene-{scene}".encode())

    for scene in range(scenes):
        info = driver.store.encode(SessionInfo(conversation_id=f"scene-{scene}"))
        send(scene, 0, kind=FrameKind.OPENED, captured_at_s=1.0, payload=info)
    ends = range(0, size, _RECORD)
    for number, at in enumerate(ends, 1):
        for scene in range(scenes):
            payload = samples[scene, at : at + _RECORD].astype("<i2").tobytes()
            send(
                scene,
                number,
                kind=FrameKind.AUDIO,
                codec=Codec.L16_LE,
                channels=Channels.EXTERNAL,
                position_samples=at,
                duration_samples=len(payload) // 2,
                captured_at_s=1.0 + at / RATE_HZ,
                payload=payload,
            )
    for scene in range(scenes):
        send(scene, len(ends) + 1, kind=FrameKind.CLOSED, reason=Reason.END, position_samples=size, captured_at_s=1.0)
    driver.run()
    return _decisions(driver, scenes, size // FRAME)


def _decisions(driver: Driver[object], scenes: int, frames: int) -> list[Decisions]:
    speech = np.zeros((scenes, frames), np.bool_)
    for event in driver.records(SILENCE.name):
        if isinstance(event, SilenceEvent) and event.kind is SilenceEventKind.SPEECH:
            scene = int(event.conversation_id.removeprefix("scene-"))
            speech[scene, event.start_samples // FRAME : -(-event.end_samples // FRAME)] = True
    return [Decisions(flags) for flags in speech]
