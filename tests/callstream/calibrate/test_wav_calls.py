import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from audio.frames import decode
from audio.session import SessionTable, Verdict
from audio.wav_reading import WavHead
from callstream.calibrate.wav_calls import records_of
from schemas.symbols import Channels, Codec, FrameKind
from tests.callstream.calibrate.sounds import STORE


@given(
    head=st.sampled_from(
        [
            WavHead(Codec.PCMU, 1, 8000, 44, -1),
            WavHead(Codec.L16_LE, 2, 16_000, 44, -1),
            WavHead(Codec.PCMA, 2, 1000, 44, -1),
        ]
    ),
    samples=st.binary(max_size=20_000),
)
def test_a_file_is_one_whole_call_byte_for_byte(head: WavHead, samples: bytes):
    layout = Channels.MIXED if head.channel_count == 1 else Channels.EXTERNAL_INTERNAL
    keys, values = records_of(head, samples, layout, STORE)
    frames = decode(values, STORE)
    assert not frames.errors
    assert (SessionTable().identify(frames, keys, 0).verdicts & Verdict.ACCEPTED).all()
    kinds = [list(FrameKind)[code] for code in frames.kind]
    assert (kinds[0], kinds[-1]) == (FrameKind.OPENED, FrameKind.CLOSED)
    assert set(kinds[1:-1]) <= {FrameKind.AUDIO}
    audio = range(1, len(values) - 1)
    whole = len(samples) // head.block_bytes * head.block_bytes
    assert b"".join(frames.payload(row) for row in audio) == samples[:whole]
    lengths = frames.duration_samples[1:-1]
    assert frames.position_samples[1:-1].tolist() == (np.cumsum(lengths) - lengths).tolist()
    assert frames.position_samples[-1] == lengths.sum() == whole // head.block_bytes
