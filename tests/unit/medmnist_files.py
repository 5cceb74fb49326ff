"""Small files in the layout of MedMNIST, as its package reads them (medmnist 3.0.2, dataset.py)."""

import io
from typing import Any

import numpy as np


def npz(
    size: int = 28, labels: int = 3, n: tuple[int, int, int] = (12, 3, 9), seed: int = 0, **how: Any
) -> bytes:
    """Return a file of train, val and test with so many pictures, each label in turn.

    `colours` gives pictures of three channels, `several` so many labels a picture, and any array's
    name another array.
    """
    rng = np.random.default_rng(seed)
    arrays = {}
    side = (size, size, 3) if how.pop("colours", False) else (size, size)
    several = how.pop("several", 0)
    for split, count in zip(("train", "val", "test"), n, strict=True):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, *side)).astype(np.uint8)
        numbers = np.arange(count)[:, None]
        of = numbers >> np.arange(several) & 1 if several else numbers % labels
        arrays[f"{split}_labels"] = of.astype(np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{**arrays, **how})
    return buffer.getvalue()
