"""Plain shapes on textured backgrounds, and questions about them: all that the tiny backbone knows.

The words are chosen so that none answers a question of the phantom world: what carries over to it
is seeing (form, size, place) and answering by letter, never a medical word.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 48

_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something a shape has: the words for its values and the ways to ask for it."""

    words: tuple[str, ...]
    questions: tuple[str, ...]


ATTRIBUTES: Mapping[str, Attribute] = {
    "form": Attribute(
        ("disc", "ring", "cross", "bar"),
        ("Which form is drawn here?", "Name the form in the drawing.", "What has been drawn?"),
    ),
    "scale": Attribute(
        ("tiny", "medium", "huge"),
        ("How big is the form?", "Which size has the drawing?", "Tell the size of the form."),
    ),
    "column": Attribute(
        ("west", "east"),
        ("In which half is the form, west or east?", "Where along the width is the form?"),
    ),
    "row": Attribute(
        ("north", "south"),
        ("In which half is the form, north or south?", "Where along the height is the form?"),
    ),
    "shade": Attribute(
        ("pale", "dark"),
        ("Which shade has the form?", "Is the form paler or darker than its ground?"),
    ),
    "presence": Attribute(
        ("something", "nothing"),
        ("Has anything been drawn?", "Is there a form on this ground at all?"),
    ),
}
FORMS = ATTRIBUTES["form"].words
# Ways to ask where the forms are; no word of them stands in a question of the phantom world.
POINTING = ("Frame every form.", "Put frames around each form.", "Draw frames: any form counts.")
RADII = (5.0, 8.0, 12.0)


def draw_shapes(
    rng: np.random.Generator, n: int
) -> tuple[NDArray[np.uint8], dict[str, _Integers], NDArray[np.bool_]]:
    """Return `n` grey images (n, 48, 48), the index of each attribute's word (n,), and the forms.

    A form's mask (n, 48, 48) is where it covers half of a pixel or more. Where `presence` says
    nothing the mask is empty, and the other attributes describe no visible form.
    """
    values = {name: rng.integers(len(a.words), size=n) for name, a in ATTRIBUTES.items()}
    values["presence"] = (rng.random(n) < 0.15).astype(np.int64)
    picture, mask = paint(rng, values, _ground(rng, n))
    # Grain that is the same everywhere, and in half of the pictures as strong as they are bright.
    picture += rng.normal(0, 1, picture.shape) * rng.uniform(0.0, 0.06, (n, 1, 1))
    picture *= 1 + rng.normal(0, 1, picture.shape) * rng.choice([0, 0, 0.12, 0.25], (n, 1, 1))
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8), values, mask >= 0.5


def boxes_of(masks: NDArray[np.bool_]) -> _Integers:
    """Return the outer box [x1, y1, x2, y2) of each mask (n, 48, 48), zeros where it is empty."""
    along = np.stack([np.logical_or.reduce(masks, axis=axis) for axis in (1, 2)])
    first, last = along.argmax(axis=2), SIDE - along[:, :, ::-1].argmax(axis=2)
    last[:, ~np.logical_or.reduce(along[0], axis=1)] = 0
    return np.stack([first[0], first[1], last[0], last[1]], axis=1)


def paint(
    rng: np.random.Generator, values: Mapping[str, _Integers], ground: _Floats
) -> tuple[_Floats, _Floats]:
    """Return grounds (n, 48, 48) in [0, 1] with the forms that `values` describe, and their masks.

    Masks are soft-edged, and empty where `presence` says nothing.
    """
    n = len(ground)
    radius = np.take(RADII, values["scale"]) * rng.uniform(0.85, 1.15, n)
    centre_x = _centre(rng, values["column"], radius)
    centre_y = _centre(rng, values["row"], radius)
    mask = _mask(rng, values["form"], radius, centre_x, centre_y)
    mask *= (1 - values["presence"])[:, None, None]
    tone = 1.0 - values["shade"]
    opacity = rng.uniform(0.4, 0.85, n)
    return ground + mask * opacity[:, None, None] * (tone[:, None, None] - ground), mask


def _centre(rng: np.random.Generator, side: _Integers, radius: _Floats) -> _Floats:
    """Return coordinates inside the chosen half, off the midline, mostly inside the picture."""
    half = SIDE / 2
    offset = 3 + rng.random(len(side)) * np.maximum(half - 4 - 0.8 * radius, 2)
    return half + np.where(side == 0, -offset, offset)


def _mask(
    rng: np.random.Generator, form: _Integers, radius: _Floats, x: _Floats, y: _Floats
) -> _Floats:
    """Return soft-edged masks (n, 48, 48) of rotated forms of about equal extent."""
    grid = np.arange(SIDE) + 0.5
    u = (grid[None, None, :] - x[:, None, None]) / radius[:, None, None]
    v = (grid[None, :, None] - y[:, None, None]) / radius[:, None, None]
    angle = rng.uniform(-np.pi, np.pi, len(form))[:, None, None]
    p = u * np.cos(angle) + v * np.sin(angle)
    q = v * np.cos(angle) - u * np.sin(angle)
    distance = np.sqrt(p**2 + q**2)
    arm = np.maximum(np.abs(p) - 1, np.abs(q) - 0.28)
    fields = {
        "disc": distance - 0.9,
        "ring": np.abs(distance - 0.75) - 0.22,
        "cross": np.minimum(arm, np.maximum(np.abs(q) - 1, np.abs(p) - 0.28)),
        "bar": np.maximum(np.abs(p) - 1.1, np.abs(q) - 0.3),
    }
    signed = np.choose(form[:, None, None], [fields[name] for name in FORMS])
    return np.clip(0.5 - signed * radius[:, None, None], 0, 1)


def _ground(rng: np.random.Generator, n: int) -> _Floats:
    """Return backgrounds (n, 48, 48): slope, stripes, patches, slabs and lines, grain.

    A form in real pictures stands among edges that are none of its own. Slabs are larger than any
    form and lines are thinner, so that neither can be taken for one.
    """
    grid = np.linspace(-1, 1, SIDE)
    x, y = grid[None, None, :], grid[None, :, None]
    slope_x, slope_y = rng.uniform(-0.2, 0.2, (2, n, 1, 1))
    ground: _Floats = rng.uniform(0.25, 0.65, (n, 1, 1)) + slope_x * x + slope_y * y
    wave_x, wave_y = rng.uniform(-14, 14, (2, n, 1, 1))
    stripes = np.sin(wave_x * x + wave_y * y + rng.uniform(0, 6.3, (n, 1, 1)))
    ground = ground + stripes * rng.uniform(0, 0.06, (n, 1, 1))
    for _ in range(3):
        px, py = rng.uniform(-1, 1, (2, n, 1, 1))
        wide, high = rng.uniform(0.25, 1.0, (2, n, 1, 1))
        reach = 1 - ((x - px) / wide) ** 2 - ((y - py) / high) ** 2
        patch = np.clip(reach * rng.uniform(0.8, 1.6, (n, 1, 1)), 0, 1)
        ground = ground + patch * rng.uniform(-0.25, 0.25, (n, 1, 1))
    for _ in range(3):
        ground = _step(ground, rng, _slab(rng, n, x, y), 0.35)
    for _ in range(2):
        ground = _step(ground, rng, _line(rng, n, x, y), 0.25)
    coarse = rng.normal(0, 1, (n, SIDE // 4, SIDE // 4)).repeat(4, axis=1).repeat(4, axis=2)
    ground = ground + coarse * rng.uniform(0, 0.04, (n, 1, 1))
    # Neither black nor white, on which a dark or a pale form could not be seen.
    return np.clip(ground, 0.12, 0.82)


def _step(ground: _Floats, rng: np.random.Generator, mask: _Floats, height: float) -> _Floats:
    """Add a mask to about every second ground, brighter or darker by at most `height`."""
    n = len(ground)
    strength = rng.uniform(-height, height, n) * (rng.random(n) < 0.5)
    return ground + mask * strength[:, None, None]


def _slab(rng: np.random.Generator, n: int, x: _Floats, y: _Floats) -> _Floats:
    """Return sharp-edged ellipses and rounded rectangles, most of which leave the picture."""
    px, py = rng.uniform(-1, 1, (2, n, 1, 1))
    wide, high = rng.uniform(0.7, 1.6, (2, n, 1, 1))
    power = rng.choice([2, 4], size=(n, 1, 1))
    rim = 1 - np.abs((x - px) / wide) ** power - np.abs((y - py) / high) ** power
    outward = rng.random((n, 1, 1)) < 0.5
    mask = np.clip(rim * SIDE / 4 + 0.5, 0, 1)
    return np.where(outward, 1 - mask, mask)


def _line(rng: np.random.Generator, n: int, x: _Floats, y: _Floats) -> _Floats:
    """Return straight or bent lines, one or two pixels wide, across the whole picture."""
    angle = rng.uniform(-np.pi, np.pi, (n, 1, 1))
    bend, offset = rng.uniform(-0.7, 0.7, (2, n, 1, 1))
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle) - offset - bend * along**2
    width = rng.uniform(0.5, 1.0, (n, 1, 1))
    mask: _Floats = np.clip(width + 0.5 - np.abs(across) * SIDE / 2, 0, 1)
    return mask
