"""Records of calls whose audio is known, for the tests of calibration."""

import numpy as np

from audio.frames import FrameEncoder, Frames, decode
from callstream.calibrate.listening import BLOCKS_PER_S, Stream
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, SessionInfo
from schemas.symbols import Channel, Channels, Codec, FrameKind, Source

STORE = SchemaStore()
ENCODER = FrameEncoder(STORE)
RATE_HZ = 8000
BLOCK = RATE_HZ // BLOCKS_PER_S


def amplitude(dbfs: float) -> float:
    return 32_768 * 10 ** (dbfs / 20)


def noise(seconds: float, dbfs: float, rate_hz: int = RATE_HZ, seed: int = 1) -> np.ndarray:
    """White noise of this RMS level."""
    random = np.random.default_rng(seed)
    return np.clip(np.rint(random.normal(0, amplitude(dbfs), round(seconds * rate_hz))), -32_767, 32_766)


def as_l16(*sides: np.ndarray) -> bytes:
    return np.stack(sides, axis=1).astype("<i2").tobytes()


def session_id(number: int) -> bytes:
    return (number + 1).to_bytes(16, "big")


def opened(number: int, *, queue: str | None = None, organisation: str | None = None) -> bytes:
    info = SessionInfo(conversation_id=f"c{number}", queue=queue, organisation=organisation)
    return frame(number, 0, FrameKind.OPENED, payload=STORE.encode(info))


def frame(number: int, sequence: int, kind: FrameKind = FrameKind.AUDIO, **fields) -> bytes:
    record = AudioFrame(
        **{
            "kind": kind,
            "source": Source.AUDIOHOOK,
            "codec": Codec.L16_LE,
            "channels": Channels.EXTERNAL,
            "session_id": session_id(number),
            "sequence": sequence,
            "sample_rate_hz": RATE_HZ,
            "position_samples": 0,
            "captured_at_s": 1_700_000_000.0,
            **fields,
        }
    )
    return ENCODER.encode(record)


def decoded(*values: bytes) -> tuple[Frames, list[bytes]]:
    return decode(values, STORE), [b"c"] * len(values)


def stream(
    *parts: tuple[str, float, float],
    channel: Channel = Channel.EXTERNAL,
    session: str = "s",
    clipped_samples: int = 0,
) -> Stream:
    """A stream of parts: what it is ("noise", "speech", "music", "digital"), how many seconds, at which level."""
    blocks = [(kind, dbfs) for kind, seconds, dbfs in parts for _ in range(round(seconds * BLOCKS_PER_S))]
    kinds = [kind for kind, _ in blocks]
    sums = [0 if kind == "digital" else round(BLOCK * amplitude(dbfs) ** 2) for kind, dbfs in blocks]
    return Stream(
        session_id=session,
        channel=channel,
        sample_rate_hz=RATE_HZ,
        starts=np.arange(len(kinds)) * BLOCK,
        sums=np.array(sums, np.int64),
        digital=np.array([kind == "digital" for kind in kinds]),
        clipped_samples=clipped_samples,
        speech=np.array([kind == "speech" for kind in kinds]),
        active=np.array([kind in ("speech", "music") for kind in kinds]),
    )
