"""The pure step of the loss processor on one core: polls of numbered 20-ms frames that are already decoded.

2 % of the packets are lost, 1 % come twice, 1 % swapped, all of them a few ms unevenly.
`./dev bench loss_cpu [sessions] [frames per session]`.
"""

import sys

import numpy as np

from audio.frames import FrameEncoder, Frames, decode
from benchmarks.rig import RATE_HZ, result
from processors.loss.logic import LossProcessor
from runtime.clock import SystemClock
from runtime.processor import Batch
from schemas.codec import SchemaStore
from schemas.records import AudioFrame
from schemas.symbols import Channels, Codec, FrameKind, Source

_POLL_RECORDS = 4000
_SAMPLES = RATE_HZ // 50
_PAYLOAD = b"\xff" * _SAMPLES
_ROUNDS = 5
_clock = SystemClock()


def numbers(frames: int, chance: np.random.Generator) -> list[int]:
    """Return the packet numbers of a session in the order of their arrival."""
    sent = np.arange(frames)
    sent = sent[chance.random(frames) >= 0.02]
    sent = np.repeat(sent, 1 + (chance.random(len(sent)) < 0.01))
    disorder = np.where(chance.random(len(sent)) < 0.01, 1.5, 0)
    return sent[np.argsort(sent + disorder, kind="stable")].tolist()


def polls(sessions: int, frames_per_session: int) -> list[Frames]:
    """Return the decoded polls of whole sessions, all advancing together."""
    chance = np.random.default_rng(1)
    store = SchemaStore()
    encode = FrameEncoder(store).encode
    ids = [chance.bytes(16) for _ in range(sessions)]
    arrivals = [numbers(frames_per_session, chance) for _ in range(sessions)]
    delays = np.round(chance.gamma(2, 0.002, 4096), 6)
    values = []
    for sequence in range(frames_per_session):
        for session, arrival in zip(ids, arrivals, strict=True):
            if sequence >= len(arrival):
                continue
            number = arrival[sequence]
            frame = AudioFrame(
                kind=FrameKind.AUDIO,
                source=Source.RTP,
                codec=Codec.PCMU,
                channels=Channels.EXTERNAL,
                sample_rate_hz=RATE_HZ,
                session_id=session,
                stream=7,
                sequence=sequence,
                source_sequence=number % 65_536,
                source_sequence_bits=16,
                position_samples=number * _SAMPLES,
                duration_samples=_SAMPLES,
                source_timestamp=number * _SAMPLES % 2**32,
                source_timestamp_bits=32,
                source_clock_hz=RATE_HZ,
                captured_at_s=1.0 + number * 0.02 + float(delays[number % len(delays)]),
                payload=_PAYLOAD,
            )
            values.append(encode(frame))
    return [decode(values[at : at + _POLL_RECORDS], store) for at in range(0, len(values), _POLL_RECORDS)]


def main(sessions: int, frames_per_session: int) -> None:
    """Measure the best of some rounds, and what a snapshot of the state costs."""
    batches = [Batch(frames, (b"c",) * len(frames), 0) for frames in polls(sessions, frames_per_session)]
    total = sum(len(batch.frames) for batch in batches)
    rates, reports, snapshot_ms, size = [], 0, 0.0, 0
    for number in range(_ROUNDS):
        processor = LossProcessor()
        state = processor.new_state()
        found: list[object] = []
        began_s = _clock.monotonic_s()
        for batch in batches:
            processor.process(batch, state, lambda _row, record, found=found: found.append(record))
        rates.append(total / (_clock.monotonic_s() - began_s))
        began_s = _clock.monotonic_s()
        size = len(processor.snapshot(state))
        snapshot_ms = 1000 * (_clock.monotonic_s() - began_s)
        reports = len(found)
        print(f"round {number}: {rates[-1]:.0f} frames/s, {reports} reports, snapshot {snapshot_ms:.1f} ms")
    result(
        "loss_cpu",
        frames_per_s=round(max(rates)),
        sessions=sessions,
        reports=reports,
        state_bytes_per_session=round(size / sessions),
    )


if __name__ == "__main__":
    arguments = [int(value) for value in sys.argv[1:]]
    main(*(arguments + [1000, 300][len(arguments) :]))
