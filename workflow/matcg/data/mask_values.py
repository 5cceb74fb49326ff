"""A mask as a picture: which of its pixels are of one class or instance."""

from typing import Any

import numpy as np
from pycocotools import mask as coco

from matcg.errors import BadRowError
from matcg.images import ImageError, pixel_values


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
    if coding == "binary":
        values = (values > values.max() / 2).astype(np.int64)
    return [
        (
            f"#{value - 2**24:06x}" if value >= 2**24 else str(value),
            coco.encode(np.asfortranarray(values == value, dtype=np.uint8)),
        )
        for value in filter(None, np.unique(values).tolist())
    ]
