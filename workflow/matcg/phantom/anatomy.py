"""Bodies as stacks of simple parts: ellipsoids and rounded blocks of one tissue each.

Coordinates run from -1 to 1 over the picture, x to its right, y downwards. Parts are listed from
the outside inwards: a section shows the last part that covers a point, a projection adds what
each part absorbs more (or less) than the tissue it replaces.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from matcg.phantom.arithmetic import Floats, Seeds, between, clip, uniform
from matcg.phantom.geometry import Frame, picture_frame
from matcg.phantom.strength import SIZE, STRENGTH


@dataclass(frozen=True, slots=True)
class Part:
    """One organ or piece of it.

    `under` is the tissue it replaces, `depth` its half thickness along the beam, `tilt` the half
    tangent of its angle. A block is a rounded rectangle. Ribs and the like lie before or behind a
    section, and only a projection shows them.
    """

    tissue: str
    under: str
    x: float
    y: float
    width: float
    height: float
    depth: float = 0.5
    tilt: float = 0.0
    block: bool = False
    projected_only: bool = False


@dataclass(frozen=True, slots=True)
class Area:
    """The parts of a body region, and where lesions lie in it.

    `host` is the part that lesions do not leave, `reach` the half width and half height of their
    centres' range about the midline at height `centre`.
    """

    parts: tuple[Part, ...]
    host: int
    reach: tuple[float, float]
    centre: float = 0.0


@dataclass(frozen=True, slots=True)
class Placed:
    """A part as it lies in each picture of a batch.

    `inside` (n, SIZE, SIZE) falls from 1 at its centre to 0 at its rim, `pixels` (n,) is the slope
    that makes it a distance.
    """

    part: Part
    inside: Floats
    pixels: Floats

    def cover(self) -> Floats:
        """Return the share of each pixel of a section that the part covers."""
        return clip(self.inside * self.pixels[:, None, None] + np.float32(0.5))

    def chord(self) -> Floats:
        """Return the part's length along the beam at each pixel of a projection."""
        half: Floats = np.sqrt(np.maximum(self.inside, np.float32(0)))
        return half * np.float32(self.part.depth)


def _pair(part: Part) -> tuple[Part, Part]:
    return part, replace(part, x=-part.x, tilt=-part.tilt)


def _ribs() -> Iterator[Part]:
    for y in (-0.62, -0.3, 0.02, 0.34):
        yield from _pair(Part("bone", "lung", 0.46, y, 0.42, 0.05, 0.10, 0.14, False, True))


AREAS: Mapping[str, Area] = {
    # From above: skull, grey and white matter, ventricles, fissure; petrous ridges, frontal sinus.
    "Brain": Area(
        (
            Part("bone", "air", 0, 0, 0.86, 0.97, 0.80),
            Part("grey", "bone", 0, 0, 0.77, 0.88, 0.71),
            *_pair(Part("white", "grey", 0.34, -0.02, 0.29, 0.64, 0.50, 0.04)),
            *_pair(Part("fluid", "white", 0.12, -0.20, 0.07, 0.24, 0.30, 0.10)),
            *_pair(Part("fluid", "white", 0.13, 0.26, 0.06, 0.20, 0.30, -0.14)),
            Part("fluid", "grey", 0, 0, 0.022, 0.84, 0.10),
            *_pair(Part("bone", "grey", 0.36, 0.34, 0.30, 0.06, 0.18, -0.18, projected_only=True)),
            Part("air", "bone", 0, -0.72, 0.20, 0.09, 0.20, projected_only=True),
        ),
        host=1,
        reach=(0.66, 0.45),
    ),
    # The chest from the front: two lungs, heart to the picture's right, spine, diaphragm, ribs.
    "Lung": Area(
        (
            Part("muscle", "air", 0, 0.10, 0.98, 1.20, 0.60, block=True),
            *_pair(Part("lung", "muscle", 0.46, -0.02, 0.38, 0.78, 0.55, 0.05)),
            Part("blood", "lung", 0.14, 0.30, 0.27, 0.32, 0.30, -0.15),
            *_pair(Part("muscle", "lung", 0.50, 0.98, 0.50, 0.34, 0.45)),
            Part("bone", "muscle", 0, -0.1, 0.09, 1.10, 0.25, block=True),
            *_pair(Part("blood", "lung", 0.24, -0.08, 0.07, 0.20, 0.15, -0.15)),
            *_ribs(),
        ),
        host=0,
        reach=(0.80, 0.48),
        centre=-0.05,
    ),
    # The breast from above: skin, fat, glandular lobes that run to the nipple, the chest wall.
    "Breast": Area(
        (
            Part("skin", "air", 0, 0.92, 0.95, 1.74, 0.45),
            Part("fat", "skin", 0, 0.94, 0.89, 1.68, 0.42),
            Part("skin", "fat", 0, -0.84, 0.10, 0.09, 0.20),
            Part("gland", "fat", 0, 0.14, 0.34, 0.66, 0.30),
            *_pair(Part("gland", "fat", 0.34, 0.18, 0.16, 0.50, 0.25, -0.20)),
            Part("gland", "fat", 0, -0.48, 0.05, 0.34, 0.15),
            Part("muscle", "fat", 0, 1.10, 1.20, 0.30, 0.45),
        ),
        host=1,
        reach=(0.64, 0.36),
        centre=0.24,
    ),
    # The knee from the front: femur with its condyles, joint space, tibia, fibula, kneecap.
    "Knee": Area(
        (
            Part("fat", "air", 0, 0, 0.86, 1.60, 0.60, block=True),
            Part("muscle", "fat", 0, 0, 0.76, 1.60, 0.55, block=True),
            Part("bone", "muscle", 0, -0.80, 0.30, 0.72, 0.24, block=True),
            *_pair(Part("bone", "muscle", 0.28, -0.32, 0.31, 0.28, 0.28)),
            Part("bone", "muscle", 0, 0.40, 0.58, 0.30, 0.28, block=True),
            Part("bone", "muscle", 0, 0.95, 0.28, 0.50, 0.22, block=True),
            Part("bone", "muscle", 0.50, 0.92, 0.08, 0.46, 0.09, block=True),
            Part("marrow", "bone", 0, -0.80, 0.21, 0.70, 0.16, block=True),
            *_pair(Part("marrow", "bone", 0.28, -0.32, 0.23, 0.21, 0.20)),
            Part("marrow", "bone", 0, 0.42, 0.49, 0.22, 0.20, block=True),
            Part("marrow", "bone", 0, 0.95, 0.20, 0.48, 0.15, block=True),
            Part("cartilage", "muscle", 0, 0.02, 0.56, 0.07, 0.25, block=True),
            Part("bone", "muscle", 0, -0.36, 0.20, 0.22, 0.10, projected_only=True),
        ),
        host=0,
        reach=(0.74, 0.50),
    ),
}


def place(area: str, seeds: Seeds, projected: bool) -> Iterator[Placed]:
    """Yield the parts of a body region, posed and varied by each picture's seed (n,)."""
    body = _posed(seeds)
    for index, part in enumerate(AREAS[area].parts):
        if projected or not part.projected_only:
            yield _placed(part, body, uniform(seeds, f"{area}/{index}", 5) * 2 - 1)


def host(area: str, seeds: Seeds) -> Floats:
    """Return the share of each pixel (n, SIZE, SIZE) that is of the part in which lesions grow."""
    index = AREAS[area].host
    vary = uniform(seeds, f"{area}/{index}", 5) * 2 - 1
    return _placed(AREAS[area].parts[index], _posed(seeds), vary).cover()


def _posed(seeds: Seeds) -> Frame:
    s = STRENGTH
    scale = between(seeds, "body scale", 1 - s.scale, 1 + s.scale)
    return picture_frame(len(seeds)).inner(
        between(seeds, "body x", -s.shift, s.shift),
        between(seeds, "body y", -s.shift, s.shift),
        between(seeds, "body turn", -s.turn, s.turn),
        scale,
        scale,
    )


def _placed(part: Part, body: Frame, vary: Floats) -> Placed:
    s = STRENGTH
    width = (1 + vary[2] * s.part_stretch) * part.width
    height = (1 + vary[3] * s.part_stretch) * part.height
    frame = body.inner(
        vary[0] * s.part_shift + part.x,
        vary[1] * s.part_shift + part.y,
        vary[4] * s.part_turn + part.tilt,
        width,
        height,
    )
    u, v = frame.coordinates()
    u *= u
    v *= v
    if part.block:
        u *= u
        v *= v
    u += v
    # A pixel's distance from the rim, so that edges fade over one pixel at any size.
    slope = (0.25 if part.block else 0.5) * SIZE / 2
    return Placed(part, np.float32(1) - u, np.minimum(width, height) * np.float32(slope))
