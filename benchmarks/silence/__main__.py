"""`./dev bench silence [--held-out | --quick | --wav DIR] [--peers-off]`: score the detector and its peers."""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio.vad import DELAY_FRAMES, FRAME_SAMPLES, VadState, VoiceDetector
from audio.vad_network import DELAYS
from benchmarks.rig import result
from benchmarks.silence import corpus, report, scenes
from benchmarks.silence.codecs import has_gsm
from benchmarks.silence.corpus import Unreachable
from benchmarks.silence.cost import STREAMS, cost_us
from benchmarks.silence.peers import Peer, document, installed, peers, timed
from benchmarks.silence.scenes import Scene
from benchmarks.silence.scoring import FRAME_MS, Decisions
from benchmarks.silence.service import as_told
from benchmarks.silence.split import CI_GENERATOR, GENERATOR, Part
from benchmarks.silence.wavs import scenes_in

_TOGETHER = 512
_TOLD = "the service"
_QUICK = 12


def decided(samples: NDArray[np.int16], delay_frames: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return speech and activity, (scenes, frames), all scenes stepped together. Speech stands at its own frame."""
    detector = VoiceDetector(delay_frames)
    frames = samples.shape[1] // FRAME_SAMPLES
    ends = np.zeros((len(samples), delay_frames * FRAME_SAMPLES), np.int16)
    given = np.concatenate((samples[:, : frames * FRAME_SAMPLES], ends), axis=1)
    given = np.ascontiguousarray(given.reshape(len(samples), -1, FRAME_SAMPLES).swapaxes(0, 1))
    state = VadState.new(len(samples))
    speech, active = np.empty((2, len(samples), len(given)), np.bool_)
    for number, frame in enumerate(given):
        answers = detector.step(state, slice(None), frame)
        speech[:, number], active[:, number] = answers.speech, answers.active
    return speech[:, delay_frames:], active[:, :frames]


def own(samples: NDArray[np.int16], delay_frames: int = DELAY_FRAMES) -> list[Decisions]:
    """Return the decisions of the product's detector."""
    return [Decisions(scene, delay_frames * FRAME_MS) for scene in decided(samples, delay_frames)[0]]


def ours() -> list[Peer]:
    """Return the product's detector, first as it is used, then what the service makes of it, then its other delays."""
    others = [frames for frames in range(DELAYS) if frames != DELAY_FRAMES]
    slower = [Peer(f"callstream, {frames * FRAME_MS} ms later", partial(own, delay_frames=frames)) for frames in others]
    return [Peer("callstream", own), Peer(_TOLD, as_told), *slower]


def judged(made: list[Scene], others: list[Peer]) -> list[report.Result]:
    """Run every detector over all scenes. Scenes of one length go as one batch, of at most 512."""
    lengths = sorted({len(scene.samples) for scene in made})
    results = []
    for peer in [*ours(), *others]:
        found: dict[int, Decisions] = {}
        spent, frames = 0.0, 0
        for length in lengths:
            places = [place for place, scene in enumerate(made) if len(scene.samples) == length]
            for begin in range(0, len(places), _TOGETHER):
                some = places[begin : begin + _TOGETHER]
                decisions, us = timed(peer, np.stack([made[place].samples for place in some]))
                found |= dict(zip(some, decisions, strict=True))
                count = len(some) * (length // FRAME_SAMPLES)
                spent, frames = spent + us * count, frames + count
        results.append(report.Result(peer.name, [found[place] for place in range(len(made))], spent / max(1, frames)))
    return results


def activity(made: list[Scene]) -> None:
    """Print how often `active` is right where the truth is known."""
    print("\nactive (somebody means to be heard): share of frames called so")
    counts: dict[str, NDArray[np.int64]] = {}
    for length in sorted({len(scene.samples) for scene in made}):
        some = [scene for scene in made if len(scene.samples) == length]
        for scene, said in zip(some, decided(np.stack([scene.samples for scene in some]), 0)[1], strict=True):
            name = "conversations" if report.has_speech(scene) else scene.about["noise"]
            on, off = scene.active == 1, scene.active == 0
            numbers = [np.count_nonzero(part) for part in (said & on, on, said & off, off)]
            counts[name] = counts.get(name, np.zeros(4, np.int64)) + numbers
    for name, (right, on, wrong, off) in sorted(counts.items()):
        shares = [f"{part / whole:.3f}" if whole else "    -" for part, whole in ((right, on), (wrong, off))]
        print(f"  {name:24} where active {shares[0]}   where quiet {shares[1]}")


def made_for(options: argparse.Namespace) -> list[Scene]:
    """Return the scenes asked for."""
    if options.wav:
        return scenes_in(options.wav)
    part = Part.HELD_OUT
    if options.quick:
        studio = scenes.Studio(corpus.prompts(part, ("ivrvoice", "menardi")), corpus.music(part), 20)
        return list(scenes.evaluation(studio, CI_GENERATOR, gsm=False, every=_QUICK))
    studio = scenes.Studio(corpus.prompts(part) + corpus.synthetic(part), corpus.music(part))
    return list(scenes.evaluation(studio, GENERATOR[part], gsm=has_gsm()))


def main() -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.silence", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--held-out", action="store_true", help="the whole held-out part (default)")
    which.add_argument("--quick", action="store_true", help="the small set of continuous integration")
    which.add_argument("--wav", type=Path, metavar="DIR", help="WAV files with label files beside them")
    parser.add_argument("--peers-off", action="store_true", help="do not install or run the peers")
    options = parser.parse_args()
    others = [Peer("document (mean |x|, 0.01)", document)]
    try:
        if not options.peers_off:
            installed()
            others = peers()
    except Unreachable as error:
        print(f"without Silero and WebRTC: {error}")
    try:
        made = made_for(options)
    except (Unreachable, ValueError) as error:
        message = f"benchmarks.silence: {error}"
        raise SystemExit(message) from error
    results = judged(made, others)
    scores = report.table(made, results)
    shown = [
        one for one in results if one.name in {"callstream", _TOLD} or "Silero" in one.name or "mode 3" in one.name
    ]
    report.conditions(made, shown)
    report.speechless(made, results)
    activity(made)
    costs = ", ".join(f"{streams}: {cost_us(streams):.1f}" for streams in STREAMS)
    print(f"\nus per frame of callstream, by streams stepped together: {costs}")
    one, told = scores["callstream"], scores[_TOLD]
    peer = next((scores[name] for name in scores if "Silero" in name), None)
    result(
        "silence_quality",
        f1=one.f1,
        miss=one.miss,
        false_alarm=one.false_alarm,
        event_f1=one.event_f1,
        onset_p50_ms=one.onset_ms(50),
        onset_p90_ms=one.onset_ms(90),
        silero_f1=peer.f1 if peer else "-",
        silero_event_f1=peer.event_f1 if peer else "-",
        told_f1=told.f1,
        told_event_f1=told.event_f1,
    )


if __name__ == "__main__":
    main()
