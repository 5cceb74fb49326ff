"""Random numbers, curves and filters that give the same bits on every machine.

Only operations that IEEE 754 rounds exactly are used (+ - * / and square root, on elements, in a
fixed order) and integer arithmetic. Library functions such as `exp` or `sin`, matrix products and
reductions differ in the last place between processors, and one such bit changes an image's digest.

Every image has a 64-bit seed, and all functions work on a batch of images at once: what they give
for one image does not depend on the others in its batch.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from matcg.seeds import derive

Floats = NDArray[np.float32]
Seeds = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@cache
def _stream(name: str) -> np.uint64:
    return np.uint64(derive(0, "stream", name))


@cache
def _counters(count: int) -> Seeds:
    return np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN


def _mix(state: Seeds) -> Seeds:
    """Scramble 64-bit states (the output function of SplitMix64, Steele et al. 2014)."""
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))


def bits(seeds: Seeds, stream: str, count: int) -> Seeds:
    """Return random 64-bit words (n, count); streams of other names are independent."""
    start = _mix(seeds ^ _stream(stream))
    return _mix(start[:, None] + _counters(count)[None, :])


def uniform(seeds: Seeds, stream: str, count: int) -> Floats:
    """Return numbers in [0, 1) on a grid of 2^-24, of shape (count, n)."""
    words = bits(seeds, stream, count) >> np.uint64(40)
    numbers: Floats = np.ascontiguousarray(words.T).astype(np.float32)
    return numbers * np.float32(2.0**-24)


def between(seeds: Seeds, stream: str, low: float, high: float) -> Floats:
    """Return one number in [low, high) an image, of shape (n,)."""
    width = np.float32(high - low)
    drawn: Floats = uniform(seeds, stream, 1)[0]
    return drawn * width + np.float32(low)


def noise(seeds: Seeds, stream: str, size: int) -> Floats:
    """Return bell-shaped noise (n, size, size): mean 0, deviation 1, bounded by 3.5.

    Each value is a sum of four random bytes, counted in integers (an Irwin-Hall distribution).
    """
    words = bits(seeds, stream, size * size // 2)
    octets = words.astype("<u8").view(np.uint8).reshape(len(seeds), size, size, 4)
    total = octets[..., 0].astype(np.int16) + octets[..., 1] + octets[..., 2] + octets[..., 3]
    # Four bytes have mean 510 and variance 4 (256^2 - 1) / 12.
    return (total.astype(np.float32) - np.float32(510)) * np.float32(1 / 147.8)


def texture(seeds: Seeds, stream: str, size: int, cells: int) -> Floats:
    """Return soft patches (n, size, size) in [-1, 1]: `cells` random cells a side, interpolated."""
    if size % cells:
        raise ValueError(f"{cells} cells do not divide {size} pixels")
    step, nodes = size // cells, cells + 1
    grid = uniform(seeds, stream, nodes * nodes).T.reshape(-1, nodes, nodes) * np.float32(2)
    weight = (np.arange(step, dtype=np.float32) + np.float32(0.5)) / np.float32(step)
    rows = _lerp(grid[:, :-1, None, :], grid[:, 1:, None, :], weight[None, None, :, None])
    rows = rows.reshape(-1, size, nodes)
    field = _lerp(rows[:, :, :-1, None], rows[:, :, 1:, None], weight[None, None, None, :])
    return field.reshape(-1, size, size) - np.float32(1)


def _lerp(first: Floats, second: Floats, weight: Floats) -> Floats:
    return first + (second - first) * weight


def divide(first: Floats, second: Floats) -> Floats:
    """Return quotients in single precision (the stubs of numpy promise only doubles)."""
    quotient: Floats = np.divide(first, second)
    return quotient


def decay(x: Floats) -> Floats:
    """Return exp(-x) for x in [0, 8], within 0.1 %: a Padé approximant, squared four times."""
    part = x * np.float32(1 / 16)
    even = part * part * np.float32(1 / 12) + np.float32(1)
    odd = part * np.float32(0.5)
    value = divide(even - odd, even + odd)
    for _ in range(4):
        value = value * value
    return value


def rotation(half_tangent: Floats) -> tuple[Floats, Floats]:
    """Return cosine and sine of twice the angle whose tangent is given."""
    square = half_tangent * half_tangent
    total = square + np.float32(1)
    return divide(np.float32(1) - square, total), divide(half_tangent * np.float32(2), total)


def blur(picture: Floats) -> Floats:
    """Return pictures (n, h, w) smoothed by weights 1 2 1 along both axes, edges repeated."""
    for axis in (1, 2):
        padded = np.concatenate(
            [picture.take([0], axis), picture, picture.take([-1], axis)], axis=axis
        )
        length = picture.shape[axis]
        before, after = (_window(padded, axis, start, length) for start in (0, 2))
        picture = (before + after) * np.float32(0.25) + picture * np.float32(0.5)
    return picture


def _window(padded: Floats, axis: int, start: int, length: int) -> Floats:
    keep = slice(start, start + length)
    return padded[:, keep, :] if axis == 1 else padded[:, :, keep]


def clip(picture: Floats, low: float = 0.0, high: float = 1.0) -> Floats:
    """Return values limited to [low, high]."""
    limited: Floats = np.maximum(picture, np.float32(low))
    np.minimum(limited, np.float32(high), out=limited)
    return limited
