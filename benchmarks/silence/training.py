"""Train the weights of `audio/vad_weights.txt`: on the training part alone, on two cores in about half an hour.

`./dev bench silence.training [scenes] [epochs] [onward]` writes the file anew, or goes on from it; what it needs is in
requirements-training.txt. Scenes are drawn at random, features come from the product's own step, a gated recurrent unit
is fitted with rounded states, as the product computes it, and its weights are rounded to whole numbers in the last
third of the epochs. The file in the tree is of 800 scenes and 12 epochs, onward with 170 more of noise alone and 7
epochs, and with 520 more at changed speed and 5 epochs.
"""

import importlib
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from audio.vad_features import FEATURES, FRAME, HISTORY, MEMORY, extract
from audio.vad_matrix import Scratch
from audio.vad_network import DELAYS, STEPS, UNITS, Weights, trained, written
from benchmarks.silence import corpus, scenes, split
from benchmarks.silence.scenes import Scene

SEGMENT: Final = 500
WARM: Final = 40
BATCH: Final = 64
_SMALL: Final = 64.0
TARGETS: Final = DELAYS + 1
"""Speech as it is known `0 … DELAYS-1` frames later, and `active`."""


def features_of(scenes: list[Scene]) -> NDArray[np.int16]:
    """Return (scenes, frames, FEATURES) of scenes of one length, stepped together."""
    frames = len(scenes[0].samples) // FRAME
    samples = np.stack([scene.samples[: frames * FRAME] for scene in scenes]).reshape(len(scenes), frames, FRAME)
    history = np.zeros((len(scenes), HISTORY), np.int16)
    memory = np.zeros((MEMORY, len(scenes)), np.float32)
    scratch = Scratch()
    out = np.empty((frames, FEATURES, len(scenes)), np.int16)
    for number in range(frames):
        out[number] = extract(history, memory, np.ascontiguousarray(samples[:, number]), scratch)
    return np.ascontiguousarray(out.transpose(2, 0, 1))


def targets_of(scene: Scene) -> NDArray[np.int8]:
    """Return (frames, TARGETS): 1, 0, or -1 where nothing is asked."""
    out = np.full((len(scene.speech), TARGETS), -1, np.int8)
    for delay in range(DELAYS):
        out[delay:, delay] = scene.speech[: len(scene.speech) - delay]
    out[:, DELAYS] = scene.active
    return out


def start(seed: int) -> dict[str, NDArray[np.float32]]:
    """Return weights to begin with: of inputs, of the state, biases, and the heads."""
    chance = np.random.default_rng(seed)
    scale = np.sqrt(1.0 / np.array([FEATURES, UNITS]))
    return {
        "inputs": (chance.standard_normal((3 * UNITS, FEATURES)) * scale[0] * 0.7).astype(np.float32),
        "state": (chance.standard_normal((3 * UNITS, UNITS)) * scale[1]).astype(np.float32),
        "bias": np.concatenate((np.full(UNITS, 1.5), np.zeros(2 * UNITS))).astype(np.float32),
        "heads": (chance.standard_normal((TARGETS, UNITS)) * scale[1]).astype(np.float32),
        "shift": np.zeros(TARGETS, np.float32),
    }


def unrounded(weights: Weights) -> dict[str, NDArray[np.float32]]:
    """Return rounded weights as numbers to go on from."""
    return {
        "inputs": weights.inputs * weights.inputs_step * np.float32(_SMALL),
        "state": weights.state * weights.state_step * np.float32(STEPS),
        "bias": weights.bias[:, 0],
        "heads": weights.heads * weights.heads_step * np.float32(STEPS),
        "shift": weights.shift[:, 0],
    }


def rounded(jax: Any, weights: Any) -> Any:
    """Return weights as the product will have them, letting gradients through."""
    jnp = jax.numpy

    def row(matrix: Any) -> Any:
        step = jnp.max(jnp.abs(matrix), axis=1, keepdims=True) / STEPS + 1e-9
        return matrix + jax.lax.stop_gradient(jnp.round(matrix / step) * step - matrix)

    return weights | {name: row(weights[name]) for name in ("inputs", "state", "heads")}


def logits(jax: Any, weights: Any, features: Any) -> Any:
    """Return (segments, frames, TARGETS), computed as `audio.vad_network` does."""
    jnp = jax.numpy

    def curve(value: Any) -> Any:
        square = value * value
        return jnp.clip(value * (27 + square) / (27 + 9 * square), -1, 1)

    def one(state: Any, given: Any) -> Any:
        coarse = state + jax.lax.stop_gradient(jnp.round(state * STEPS) / STEPS - state)
        fed = coarse @ weights["state"].T
        keep = 0.5 + 0.5 * curve(0.5 * (given[:, :UNITS] + fed[:, :UNITS]))
        gate = 0.5 + 0.5 * curve(0.5 * (given[:, UNITS : 2 * UNITS] + fed[:, UNITS : 2 * UNITS]))
        fresh = curve(given[:, 2 * UNITS :] + gate * fed[:, 2 * UNITS :])
        state = fresh + keep * (state - fresh)
        return state, state

    given = jnp.swapaxes((features / _SMALL) @ weights["inputs"].T + weights["bias"], 0, 1)
    _, states = jax.lax.scan(one, jnp.zeros((features.shape[0], UNITS)), given)
    coarse = states + jax.lax.stop_gradient(jnp.round(states * STEPS) / STEPS - states)
    return jnp.swapaxes(coarse @ weights["heads"].T + weights["shift"], 0, 1)


def loss(jax: Any, weights: Any, features: Any, targets: Any, *, whole: bool) -> Any:
    """Return the mean cross entropy of the frames that are asked."""
    jnp = jax.numpy
    found = logits(jax, rounded(jax, weights) if whole else weights, features.astype(jnp.float32))
    asked = (targets >= 0).astype(jnp.float32)
    right = targets.astype(jnp.float32)
    entropy = jnp.maximum(found, 0) - found * right + jnp.log1p(jnp.exp(-jnp.abs(found)))
    weight = asked * jnp.array([1.0] * DELAYS + [0.4])
    return jnp.sum(entropy * weight) / jnp.sum(weight)


def batches(features: NDArray[np.int16], targets: NDArray[np.int8], chance: np.random.Generator) -> Iterator[Any]:
    """Yield segments at random places, in random order; their first frames only warm the state up."""
    scenes, frames, _ = features.shape
    starts = [
        (scene, at)
        for scene in range(scenes)
        for at in range(int(chance.integers(0, SEGMENT)), frames - SEGMENT + 1, SEGMENT)
    ]
    starts += [(scene, 0) for scene in range(scenes)]
    order = chance.permutation(len(starts))
    for begin in range(0, len(order) - BATCH + 1, BATCH):
        some = [starts[place] for place in order[begin : begin + BATCH].tolist()]
        asked = np.stack([targets[scene, at : at + SEGMENT] for scene, at in some])
        for number, (_, at) in enumerate(some):
            if at:
                asked[number, :WARM] = -1
        yield np.stack([features[scene, at : at + SEGMENT] for scene, at in some]), asked


def fit(
    features: NDArray[np.int16], targets: NDArray[np.int8], epochs: int, seed: int = 1, begin: Weights | None = None
) -> Weights:
    """Return the fitted weights, from random ones or on from others. Adam; the learning rate falls with a cosine."""
    jax = importlib.import_module("jax")
    jnp = jax.numpy
    grads = {whole: jax.jit(jax.value_and_grad(partial(loss, jax, whole=whole))) for whole in (False, True)}
    weights: Any = start(seed) if begin is None else unrounded(begin)
    highest = 4e-3 if begin is None else 2e-3
    first = {name: np.zeros_like(value) for name, value in weights.items()}
    second = {name: np.zeros_like(value) for name, value in weights.items()}
    chance = np.random.default_rng(seed)
    step, total = 0, epochs * (len(features) * (features.shape[1] // SEGMENT) // BATCH)
    for epoch in range(epochs):
        losses = []
        for given, asked in batches(features, targets, chance):
            step += 1
            value, slope = grads[begin is not None or epoch >= epochs * 2 // 3](
                weights, jnp.asarray(given), jnp.asarray(asked)
            )
            losses.append(float(value))
            rate = highest * min(1.0, step / 60) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * min(1.0, step / total))))
            norm = np.sqrt(sum(float(np.sum(np.square(part))) for part in slope.values()))
            for name, part in slope.items():
                gradient = np.asarray(part) * min(1.0, 1.0 / (norm + 1e-9))
                first[name] = 0.9 * first[name] + 0.1 * gradient
                second[name] = 0.995 * second[name] + 0.005 * gradient**2
                mean, size = first[name] / (1 - 0.9**step), second[name] / (1 - 0.995**step)
                weights[name] = (weights[name] - rate * mean / (np.sqrt(size) + 1e-8)).astype(np.float32)
        print(f"epoch {epoch + 1}: {np.mean(losses):.4f}", flush=True)
    return Weights.of(weights["inputs"] / _SMALL, weights["state"], weights["bias"], weights["heads"], weights["shift"])


def main() -> None:
    """Make the scenes, fit, and write the file."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1200
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    part = split.Part.TRAINING
    studio = scenes.Studio(corpus.prompts(part) + corpus.synthetic(part), corpus.music(part))
    made = list(scenes.training(studio, split.GENERATOR[part], count))
    path = Path(__file__).parents[2] / "audio" / "vad_weights.txt"
    begin = trained() if "onward" in sys.argv else None
    weights = fit(features_of(made), np.stack([targets_of(scene) for scene in made]), epochs, begin=begin)
    path.write_text(written(weights), encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
