import numpy as np
import pytest

from audio.vad_features import FEATURES, LIMIT
from audio.vad_matrix import Scratch
from audio.vad_network import HEADS, STEPS, UNITS, Weights, advance, trained, written


@pytest.fixture(scope="module")
def weights() -> Weights:
    return trained()


def test_weights_are_whole_numbers_whose_sums_are_exact(weights):
    for matrix, largest in ((weights.inputs, LIMIT), (weights.state, STEPS), (weights.heads, STEPS)):
        assert (matrix == np.rint(matrix)).all()
        assert np.abs(matrix).sum(axis=1).max() * largest < 2**24


def test_weights_come_back_from_their_text(weights):
    assert written(Weights.read(written(weights))) == written(weights)
    assert weights.inputs.shape == (3 * UNITS, FEATURES)
    assert weights.state.shape == (3 * UNITS, UNITS)
    assert weights.heads.shape == (HEADS, UNITS)


def test_rounding_keeps_trained_weights_close():
    chance = np.random.default_rng(1)
    shapes = ((3 * UNITS, FEATURES), (3 * UNITS, UNITS), (3 * UNITS,), (HEADS, UNITS), (HEADS,))
    plain = [chance.standard_normal(shape).astype(np.float32) for shape in shapes]
    whole = Weights.of(*plain)
    assert np.abs(whole.inputs * whole.inputs_step - plain[0]).max() < 0.01
    assert np.abs(whole.state * whole.state_step * STEPS - plain[1]).max() < 0.01


def by_hand(weights: Weights, state: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same in double precision, with a plain curve."""

    def curve(x):
        return np.clip(x * (27 + x * x) / (27 + 9 * x * x), -1, 1)

    given = (weights.inputs.astype(float) @ features) * weights.inputs_step + weights.bias
    fed = (weights.state.astype(float) @ np.rint(state * STEPS)) * weights.state_step
    keep, gate = (0.5 + 0.5 * curve(0.5 * (given + fed)[part * UNITS : (part + 1) * UNITS]) for part in (0, 1))
    fresh = curve(given[2 * UNITS :] + gate * fed[2 * UNITS :])
    after = fresh + keep * (state - fresh)
    return after, (weights.heads.astype(float) @ np.rint(after * STEPS)) * weights.heads_step + weights.shift


def test_a_step_is_the_recurrent_unit_of_the_formula(weights):
    chance = np.random.default_rng(2)
    state = chance.uniform(-1, 1, (UNITS, 9)).astype(np.float32)
    features = np.rint(chance.uniform(-60, 60, (FEATURES, 9))).astype(np.float32)
    after, odds = by_hand(weights, state.astype(float), features.astype(float))
    found = advance(weights, state, features, Scratch())
    assert np.abs(state - after).max() < 1e-5
    assert np.abs(found - odds).max() < 0.1


@pytest.mark.parametrize("streams", [1, 2, 3, 7, 64])
def test_neighbours_change_nothing(weights, streams):
    chance = np.random.default_rng(3)
    state = np.zeros((UNITS, 64), np.float32)
    few = np.zeros((UNITS, streams), np.float32)
    for _ in range(30):
        features = np.rint(chance.uniform(-LIMIT, LIMIT, (FEATURES, 64))).astype(np.float32)
        together = advance(weights, state, features, Scratch())
        alone = advance(weights, few, np.ascontiguousarray(features[:, :streams]), Scratch())
        assert (together[:, :streams] == alone).all()
    assert (state[:, :streams] == few).all()
    assert np.abs(state).max() <= 1
