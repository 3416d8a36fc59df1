"""The tables: every detector over all conversations, each condition, what is called speech where there is none."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks.silence.scenes import Scene
from benchmarks.silence.scoring import Decisions, Score, score, total


@dataclass(frozen=True, slots=True)
class Result:
    """A detector's decisions about all scenes, and its cost."""

    name: str
    decisions: list[Decisions]
    us: float

    def scores(self, scenes: list[Scene]) -> list[Score]:
        """Return the score of each scene."""
        return [score(scene.speech, found) for scene, found in zip(scenes, self.decisions, strict=True)]


def has_speech(scene: Scene) -> bool:
    """Tell conversations from scenes made without speech."""
    return "spoiled" in scene.about


def table(scenes: list[Scene], results: Iterable[Result]) -> dict[str, Score]:
    """Print a line per detector over the conversations; return the scores."""
    frames = sum(len(scene.speech) for scene in scenes if has_speech(scene))
    share = sum(int(scene.speech.sum()) for scene in scenes if has_speech(scene)) / max(1, frames)
    count = sum(map(has_speech, scenes))
    print(f"\n{count} conversations, {frames} frames of 20 ms, speech {share:.2f}; delays p50/p90 in ms")
    names = ["P", "R", "F1", "miss", "fa"]
    print(f"{'detector':28} " + " ".join(f"{name:>5}" for name in names) + "     onset    offset event F1     us")
    out = {}
    for result in results:
        one = total(found for found, scene in zip(result.scores(scenes), scenes, strict=True) if has_speech(scene))
        onset, offset = (f"{of(50):.0f}/{of(90):.0f}" for of in (one.onset_ms, one.offset_ms))
        print(
            f"{result.name:28} {one.precision:5.3f} {one.recall:5.3f} {one.f1:5.3f} {one.miss:5.3f}"
            f" {one.false_alarm:5.3f} {onset:>9} {offset:>9} {one.event_f1:8.3f} {result.us:6.1f}"
        )
        out[result.name] = one
    return out


def conditions(scenes: list[Scene], results: list[Result]) -> None:
    """Print F1 per condition, the first detector's worst noise, SNR and level together, and its events."""
    names = [result.name.split(",")[0][:12] for result in results]
    scores = [result.scores(scenes) for result in results]
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    cells: dict[str, list[int]] = defaultdict(list)
    for place, scene in enumerate(scenes):
        if has_speech(scene):
            for key, value in scene.about.items():
                groups[key, value].append(place)
            cell = " ".join(scene.about.get(key, "") for key in ("noise", "snr", "level", "codec", "spoiled"))
            cells[cell].append(place)
    print("\nF1 by condition (and miss, false alarm, event F1 of the first)")
    print(f"{'':24} " + " ".join(f"{name:>12}" for name in names) + "    miss     fa events")
    for (key, value), places in sorted(groups.items()):
        sums = [total(one[place] for place in places) for one in scores]
        first = sums[0]
        print(
            f"{key:9} {value:14} "
            + " ".join(f"{one.f1:12.3f}" for one in sums)
            + f"   {first.miss:5.3f}  {first.false_alarm:5.3f}  {first.event_f1:5.3f}"
        )
    if cells:
        worst = sorted(cells, key=lambda cell: total(scores[0][place] for place in cells[cell]).f1)[:3]
        for cell in worst:
            one = total(scores[0][place] for place in cells[cell])
            print(f"worst cell: {cell}: F1 {one.f1:.3f} miss {one.miss:.3f} false alarm {one.false_alarm:.3f}")


def speechless(scenes: list[Scene], results: list[Result]) -> None:
    """Print the share of frames called speech where nobody speaks."""
    kinds = sorted({scene.about["noise"] for scene in scenes if not has_speech(scene)})
    if not kinds:
        return
    print("\nshare of frames called speech where there is none")
    print(f"{'':28} " + " ".join(f"{kind.removeprefix('no speech: '):>9}" for kind in kinds))
    for result in results:
        shares = []
        for kind in kinds:
            said = [d.speech for d, scene in zip(result.decisions, scenes, strict=True) if scene.about["noise"] == kind]
            shares.append(f"{np.concatenate(said).mean():9.3f}")
        print(f"{result.name:28} " + " ".join(shares))
