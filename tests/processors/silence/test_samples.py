import numpy as np

from audio.frames import decode
from audio.g711 import PCMA, PCMU
from processors.silence import state as columns
from processors.silence.courses import Courses
from processors.silence.media import rows_of
from processors.silence.pieces import Pieces, pieces_of
from processors.silence.samples import PieceSamples, blocks, samples_of
from processors.silence.state import SilenceState
from schemas.symbols import Channels, Codec
from tests.processors.silence.calls import ENCODER, STORE, Call


def test_a_block_is_what_lies_in_front_of_its_end():
    line = np.arange(1000, dtype=np.int16)
    found = blocks(line, np.array([160, 500, 1000]), np.array([160, 160, 200]), 8000)
    assert [(row[0], row[-1], len(row)) for row in found] == [(0, 159, 160), (340, 499, 160), (840, 999, 160)]


def test_a_short_block_repeats_what_there_is_and_ends_as_it_ends():
    line = np.arange(1000, dtype=np.int16)
    short, whole = blocks(line, np.array([70, 230]), np.array([70, 160]), 8000)
    assert short.tolist() == [*range(50, 70), *range(70), *range(70)]
    assert whole.tolist() == list(range(70, 230))


def poll(*calls: Call) -> tuple[Pieces, PieceSamples]:
    """The pieces of the calls' frames, taken as one poll, and their samples."""
    frames = decode([ENCODER.encode(frame) for call in calls for frame in call.frames], STORE)
    slots = np.array([call.number for call in calls for _ in call.frames])
    rows = rows_of(frames, slots, np.ones(len(frames), np.bool_))
    state = SilenceState()
    state.session = np.zeros((len(calls), columns.SESSION_COLUMNS), np.int64)
    pieces = pieces_of(frames, rows, frames.sample_rate_hz[rows.row], rows.position, rows.position + rows.samples)
    return pieces, samples_of(frames, pieces, Courses.of(state, rows))


def sums(pieces: Pieces) -> list[list[int]]:
    return pieces.levels[columns.SAMPLE_SUM].tolist()


def test_frames_of_several_codecs_and_layouts_are_decoded_each_by_its_own():
    mulaw, alaw = bytes(range(160)), bytes(range(90, 250))
    linear = np.arange(-80, 80, dtype=">i2").tobytes()
    swapped = np.arange(320, dtype="<i2").tobytes()
    pieces, found = poll(
        Call(0, Codec.PCMU).say(mulaw),
        Call(1, Codec.PCMA).say(alaw),
        Call(2, Codec.L16_BE).say(linear),
        Call(3, Codec.L16_LE, Channels.INTERNAL_EXTERNAL).say(swapped, 640),
    )
    assert found.pcm[0, :480].tolist() == [
        *PCMU[np.frombuffer(mulaw, np.uint8)].tolist(),
        *PCMA[np.frombuffer(alaw, np.uint8)].tolist(),
        *range(-80, 80),
    ]
    assert found.pcm[:, 480:].tolist() == [list(range(1, 320, 2)), list(range(0, 320, 2))]
    assert found.fresh.tolist() == [160] * 4
    assert sums(pieces)[0] == [*found.pcm[0, :320].reshape(2, 160).sum(axis=1), -80, sum(range(1, 320, 2))]
    assert sums(pieces)[1] == [0, 0, 0, sum(range(0, 320, 2))]


def test_pieces_of_different_lengths_have_their_own_sums():
    pieces, found = poll(Call().say(np.ones(500, "<i2").tobytes(), 2 * 100))
    assert sums(pieces)[0] == [100, 60, 40, 100, 20, 80, 80, 20]
    assert found.fresh.tolist() == [500]
