"""Samples of any type as 256 grey levels, through a window that is given or found robustly."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[Any]
Window = tuple[float, float]

LOOKED_AT = 1 << 20  # samples that percentiles are taken of, where there are more
PERCENTILES = (0.5, 99.5)
REACH = 0.5  # how far beyond them samples count, in parts of what lies between
LEVELS = 16  # with fewer values between the extremes it is a drawing, in which these are no padding
_BLOCK = 1 << 20  # samples that are converted at a time


@dataclass(frozen=True)
class Samples:
    """What a file holds for its pixels, upright: `values` (height, width) or (height, width, 3).

    `inverted`: the smallest is white. `blank`: the value that stands for none. `full`: the values
    of black and white, where the type says them. `places`: those of the pixels in a palette.
    """

    values: Array
    inverted: bool = False
    blank: float | None = None
    full: Window | None = None
    places: Array | None = None

    def image(self, window: Window | None = None) -> Image.Image:
        """Return the picture, grey or RGB; `window` are the values of black and white.

        Without one, `full` is taken, else what `find_window` finds. What is not finite, and
        `blank`, is black.
        """
        values = self.values.astype(np.float32) if self.values.dtype.char == "e" else self.values
        low, high = self.full or window or find_window(values, self.blank)
        levels = np.empty(values.shape, dtype=np.uint8)
        step = max(1, _BLOCK // max(1, values[:1].size))
        for start in range(0, len(values), step):
            part = values[start : start + step]
            shown = _levels(part, low, high)
            shown = 255 - shown if self.inverted else shown
            shown[~_told(part, self.blank)] = 0
            levels[start : start + step] = shown
        return Image.fromarray(levels)


def find_window(values: Array, blank: float | None = None) -> tuple[Any, Any]:
    """Return the values of black and white: the extremes of all samples that are no outliers.

    An outlier is further from most of the samples (`PERCENTILES`) than `REACH` says, so that
    neither a hot pixel nor padding takes the grey levels of the rest; one value at either end may
    be padding however often it stands. Without outliers these are the smallest and the largest.
    """
    told = values[_told(values, blank)]
    if not told.size:
        return 0, 1
    low, high = told.min(), told.max()
    seen = told
    if told.size > LOOKED_AT:
        seen = told[np.random.default_rng(0).integers(0, told.size, LOOKED_AT)]
    core = seen[(seen > low) & (seen < high)]
    if len(np.unique(core)) < LEVELS:
        core = seen
    # Halved, since the distance of two finite numbers may be none.
    bottom, top = np.percentile(core.astype(np.float64) / 2, PERCENTILES)
    reach = REACH * (top - bottom)
    if reach > 0:
        half = told / 2
        told = told[(half >= bottom - reach) & (half <= top + reach)]
    return (told.min().item(), told.max().item()) if told.size else (low.item(), high.item())


def _told(values: Array, blank: float | None) -> npt.NDArray[np.bool_]:
    """Return which samples say something."""
    told = np.isfinite(values)
    return told if blank is None else told & (values != blank)


def _levels(values: Array, low: Any, high: Any) -> npt.NDArray[np.uint8]:
    """Return the grey levels 0 to 255 of samples; a picture of one value is black."""
    clipped: Array
    if values.dtype.kind in "iu" and _fits(low, values) and _fits(high, values):
        # Exact, whatever the type: differences modulo 2^64 are those of integers.
        clipped = np.clip(values, low, high).astype(np.uint64)
        parts = (clipped - np.uint64(low % 2**64)).astype(np.float64) / max(1, high - low)
    else:
        clipped = np.clip(values.astype(np.float64), low, high) / 2
        span = high / 2 - low / 2
        parts = np.nan_to_num((clipped - low / 2) / span) if span > 0 else np.zeros(values.shape)
    levels: npt.NDArray[np.uint8] = np.floor(255 * parts + 0.5).astype(np.uint8)
    return levels


def _fits(value: Any, values: Array) -> bool:
    known = np.iinfo(values.dtype)
    return isinstance(value, int) and known.min <= value <= known.max
