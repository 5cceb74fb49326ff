"""Lesions: four kinds in three sizes, left or right of the midline."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matcg.geometry import box_around, encoded
from matcg.phantom.anatomy import AREAS, host
from matcg.phantom.arithmetic import Floats, Seeds, between, clip
from matcg.phantom.geometry import picture_frame
from matcg.phantom.strength import SIZE, STRENGTH
from matcg.samples import Finding

Integers = NDArray[np.int64]

KINDS = ("mass", "cyst", "scar", "spicule")
LEVELS = ("mild", "moderate", "severe")
SIDES = ("left", "right")
LESION = "lesion"  # what all of them are called where they are pointed at


@dataclass(frozen=True, slots=True)
class Lesions:
    """The truth of each picture of a batch (n,): presence, indices of kind, level and side.

    Where `half` is given, lesions lie in the upper (0) or lower (1) half of their range.
    """

    present: Integers
    kind: Integers
    level: Integers
    side: Integers
    half: Integers | None = None


def masks(lesions: Lesions, area: str, seeds: Seeds) -> Floats:
    """Return the lesions' extent (n, SIZE, SIZE) in [0, 1], nothing where none is present."""
    return extent(lesions, area, seeds) * host(area, seeds) * _column(lesions.present)


def extent(lesions: Lesions, area: str, seeds: Seeds) -> Floats:
    """Return the same of lesions that are all there, beyond the organ too."""
    s = STRENGTH
    jitter = between(seeds, "lesion radius", 1 - s.radius_jitter, 1 + s.radius_jitter)
    radius = np.array(s.radii, dtype=np.float32)[lesions.level] * jitter * np.float32(2 / SIZE)
    x, y = _centres(lesions, area, radius, seeds)
    stretch = between(seeds, "lesion stretch", 1 - s.aspect, 1 + s.aspect)
    turn = between(seeds, "lesion turn", -1, 1)
    frame = picture_frame(len(seeds)).inner(x, y, turn, radius * stretch, radius / stretch)
    rim = _forms(*frame.coordinates(), lesions.kind)
    rim *= (radius * np.float32(SIZE / 2 / s.edge))[:, None, None]
    return clip(np.float32(0.5) - rim)


def _column(values: Integers) -> Floats:
    return values.astype(np.float32)[:, None, None]


def findings(lesions: Lesions, area: str, seeds: Seeds) -> list[tuple[Finding, ...]]:
    """Return what is to be found in each picture: a lesion's mask and its outer box, or nothing.

    A lesion is where its mask exceeds half of its peak.
    """
    return [_finding(mask > mask.max() / np.float32(2)) for mask in masks(lesions, area, seeds)]


def _finding(where: NDArray[np.bool_]) -> tuple[Finding, ...]:
    code = encoded(where)
    return (Finding(LESION, box_around(code, (SIZE, SIZE)), code),) if where.any() else ()


def _centres(lesions: Lesions, area: str, radius: Floats, seeds: Seeds) -> tuple[Floats, Floats]:
    """Return the lesions' centres (n,): clear of the midline and mostly inside the organ."""
    region = AREAS[area]
    nearest = radius + np.float32(STRENGTH.midline_gap * 2 / SIZE)
    farthest = np.maximum(np.float32(region.reach[0]) - radius * np.float32(0.6), nearest)
    offset = nearest + (farthest - nearest) * between(seeds, "lesion x", 0, 1)
    x = np.where(lesions.side == 0, -offset, offset)
    free = np.maximum(np.float32(region.reach[1]) - radius * np.float32(0.3), np.float32(0.05))
    if lesions.half is None:
        return x, free * between(seeds, "lesion y", -1, 1) + np.float32(region.centre)
    away = between(seeds, "lesion y", *STRENGTH.half_offset)
    return x, np.where(lesions.half == 0, -away, away) + np.float32(region.centre)


def _forms(u: Floats, v: Floats, kind: Integers) -> Floats:
    """Return each lesion's signed distance from its rim, in radii, negative inside."""
    distance = np.sqrt(u * u + v * v)
    along, across = np.abs(u), np.abs(v)
    long_u = np.maximum(along - np.float32(1), across - np.float32(0.32))
    long_v = np.maximum(across - np.float32(1), along - np.float32(0.32))
    fields = (
        distance - np.float32(0.9),
        np.abs(distance - np.float32(0.72)) - np.float32(0.24),
        long_u,
        np.minimum(long_u, long_v),
    )
    form: Floats = np.choose(kind[:, None, None], fields)
    return form
