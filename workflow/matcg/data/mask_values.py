"""A mask as a picture, or a slice of a volume: which pixels are of one class or instance."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from matcg.errors import BadRowError
from matcg.images import ImageError, nifti, pixel_values


def masks_in(data: bytes, where: str, coding: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the run lengths of each value in a mask but 0, with the value or colour as `#rrggbb`.

    Of a binary mask all pixels above half of its largest value count, since some are saved as JPEG.

    Raises:
        BadRowError: it is no picture, or damaged.
    """
    try:
        values = pixel_values(data, where)
    except ImageError as error:
        raise BadRowError(f"mask unreadable: {error.detail}") from None
    return _masks(values, coding)


def masks_in_slice(
    path: Path, number: int, slices: int, cut: nifti.Cut, where: str, coding: str
) -> list[tuple[str, dict[str, Any]]]:
    """Return the same of a slice of a volume, which has as many `slices` as its picture has.

    Raises:
        BadRowError: it is no volume, damaged, of another depth, or not of whole numbers.
    """
    try:
        found, _, _ = nifti.count_slices(path, cut, where)
        values = nifti.read_slice(path, number, cut, where, (0.0, 1.0)).values
    except ImageError as error:
        raise BadRowError(f"mask unreadable: {error.detail}") from None
    if found != slices:
        raise BadRowError(f"mask of another size: {found} slices, its picture has {slices}")
    whole = np.rint(values)
    if not (whole == values).all():
        raise BadRowError("mask unreadable: its values are no whole numbers")
    return _masks(whole.astype(np.int64), coding)


def _masks(values: npt.NDArray[np.int64], coding: str) -> list[tuple[str, dict[str, Any]]]:
    if coding == "binary":
        values = (values > values.max() / 2).astype(np.int64)
    return [
        (
            f"#{value - 2**24:06x}" if value >= 2**24 else str(value),
            coco.encode(np.asfortranarray(values == value, dtype=np.uint8)),
        )
        for value in filter(None, np.unique(values).tolist())
    ]
