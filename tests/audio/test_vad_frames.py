import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.vad_features import FRAME
from audio.vad_frames import FACTORS, assemble, brought_down, ranges, tail_samples

STREAMS = 4
SOUND = np.random.default_rng(1).integers(-32_768, 32_767, (STREAMS, 2000)).astype(np.int16)


@given(st.data())
def test_any_cut_gives_the_frames_of_the_whole(data):
    rest, filled = np.zeros((STREAMS, FRAME), np.int16), np.zeros(STREAMS, np.int64)
    done = [0] * STREAMS
    found: list[list[np.ndarray]] = [[] for _ in range(STREAMS)]
    for _ in range(data.draw(st.integers(1, 6))):
        rows, lengths, samples = [], [], []
        for row in data.draw(st.lists(st.integers(0, STREAMS - 1), min_size=1, unique=True)):
            for size in data.draw(st.lists(st.integers(0, 350), min_size=1, max_size=3)):
                part = SOUND[row, done[row] : done[row] + size]
                rows.append(row)
                lengths.append(len(part))
                samples.append(part)
                done[row] += len(part)
        of, frames = assemble(rest, filled, np.array(rows), np.array(lengths), np.concatenate(samples))
        for row, frame in zip(of.tolist(), frames, strict=True):
            found[row].append(frame)
    for row in range(STREAMS):
        whole = done[row] // FRAME
        assert filled[row] == done[row] - whole * FRAME
        assert np.array_equal(np.array(found[row], np.int16).reshape(-1), SOUND[row, : whole * FRAME])
        assert np.array_equal(rest[row, : filled[row]], SOUND[row, whole * FRAME : done[row]])


def tone(hz: float, rate_hz: int) -> np.ndarray:
    at = np.arange(rate_hz) / rate_hz
    return np.rint(10_000 * np.sin(2 * np.pi * hz * at)).astype(np.int16)[np.newaxis]


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 32_000, 48_000])
def test_what_telephones_carry_stays_and_what_would_fold_back_goes(rate_hz):
    factor = FACTORS[rate_hz]
    for hz, least_db, most_db in ((300, -0.2, 0.2), (3000, -0.5, 0.5), (5000, -200, -35), (7000, -200, -35)):
        tail = np.zeros((1, tail_samples(factor)), np.int16)
        down = brought_down(tail, tone(hz, rate_hz), factor)[0, 200:].astype(float)
        gain_db = 20 * np.log10(np.sqrt(np.mean(down**2)) / 7071 + 1e-9)
        assert least_db <= gain_db <= most_db


def test_bringing_down_in_pieces_is_bringing_down_at_once():
    sound = tone(700, 16_000)
    whole = brought_down(np.zeros((1, tail_samples(2)), np.int16), sound, 2)
    tail = np.zeros((1, tail_samples(2)), np.int16)
    parts = [brought_down(tail, np.ascontiguousarray(sound[:, at : at + 400]), 2) for at in range(0, 16_000, 400)]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


def test_telephone_rate_passes_as_it_is():
    assert brought_down(np.zeros((1, tail_samples(1)), np.int16), SOUND[:1], 1) is not None
    assert np.array_equal(brought_down(np.zeros((1, 0), np.int16), SOUND[:1], 1), SOUND[:1])


def test_ranges_follow_one_another():
    assert ranges(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
