"""Pictures in which facts decide: a lesion and a decoy on one ground, told by tone or by place."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from matcg.phantom.anatomy import host
from matcg.phantom.arithmetic import Floats, Seeds, bits, clip
from matcg.phantom.facts import Scene, Thing
from matcg.phantom.lesions import KINDS, LEVELS, Integers, Lesions, extent
from matcg.phantom.render import MODALITIES
from matcg.phantom.strength import SIZE, STRENGTH

# The attribute that each task asks for, in which lesion and decoy differ. The two lie on different
# sides, so that they never meet.
DECOYS: Mapping[str, str] = {"Side": "side", "Level": "level", "Diseases": "kind"}
_BAR = 8  # pixels that a mark is high


def render_scenes(
    task: str,
    scenes: Sequence[Scene],
    modality: str,
    area: str,
    lesions: Lesions,
    seeds: Seeds,
) -> NDArray[np.uint8]:
    """Return grey pictures (n, SIZE, SIZE) of scenes; what no fact decides is as in `lesions`."""
    low, high = map(np.float32, STRENGTH.ground)
    nothing = np.zeros((len(seeds), SIZE, SIZE), dtype=np.float32)
    picture = clip(MODALITIES[modality](area, nothing, seeds)) * (high - low) + low
    organ = host(area, seeds) * np.float32(STRENGTH.opacity)
    decoys, own = _decoys(task, scenes, lesions, seeds)
    things = (([each.lesion for each in scenes], lesions, seeds), (_decoy(scenes), decoys, own))
    for truth, looks, drawn in things:
        tone = np.array([each.tone for each in truth], dtype=np.float32)[:, None, None]
        cover = extent(replace(looks, half=_halves(truth)), area, drawn) * organ
        picture = picture + (tone - picture) * cover
    _mark(picture, task, scenes, lesions.side)
    return (clip(picture) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _decoy(scenes: Sequence[Scene]) -> list[Thing]:
    return [each.decoy for each in scenes if each.decoy]


def _decoys(
    task: str, scenes: Sequence[Scene], lesions: Lesions, seeds: Seeds
) -> tuple[Lesions, Seeds]:
    """Return what is beside the lesions, on the other side, and the seeds of its looks."""
    kind, level, own = bits(seeds, "decoy", 3).T
    looks = Lesions(
        present=lesions.present,
        kind=(kind % np.uint64(len(KINDS))).astype(np.int64),
        level=(level % np.uint64(len(LEVELS))).astype(np.int64),
        side=1 - lesions.side,
    )
    labels = np.array([each.label for each in _decoy(scenes)], dtype=np.int64)
    return replace(looks, **{DECOYS[task]: labels}), np.ascontiguousarray(own)


def _halves(things: Sequence[Thing]) -> Integers | None:
    """Return the half of each thing, None where they may lie in any."""
    halves = [each.half for each in things if each.half is not None]
    return np.array(halves, dtype=np.int64) if halves else None


def _mark(picture: Floats, task: str, scenes: Sequence[Scene], side: Integers) -> None:
    """Draw a bar at the edge beside what is marked, for each task at a height of its own."""
    top = list(DECOYS).index(task) * (SIZE - _BAR) // (len(DECOYS) - 1)
    for number, each in enumerate(scenes):
        if each.marked is not None:
            right = bool(side[number]) == (each.marked == each.lesion)
            columns = slice(SIZE - 2, SIZE) if right else slice(0, 2)
            picture[number, top : top + _BAR, columns] = STRENGTH.mark
