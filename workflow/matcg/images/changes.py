"""Pictures changed so that the change is known for certain: turned, blurred, noisy, with less
contrast.

Strengths are shares of the longer edge, so that they are seen whatever size a backbone makes of it.
"""

import io

import numpy as np
from PIL import Image, ImageFilter

from matcg.images import decode
from matcg.images.bounds import ImageError

EDGE = 1024  # pixels of the longer edge: noise of larger pictures would take megabytes a file
CONTRAST = 32  # grey levels between the darkest and the lightest hundredth of what can be judged
_BLUR, _GRAIN = 50, 128  # parts of the longer edge
_NOISE = 60  # grey levels up or down
_FLAT = 3, 10  # of the distance from the mean is left

_TURNS = (
    None,
    Image.Transpose.ROTATE_270,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_90,
)


def require_contrast(data: bytes, where: str) -> None:
    """Refuse a picture in which no change could be seen.

    Raises:
        ImageError: it cannot be decoded, or has too few grey levels.
    """
    low, high = np.percentile(np.asarray(_opened(data, where).convert("L")), (1, 99))
    if high - low < CONTRAST:
        detail = f"{high - low:.0f} grey levels of {CONTRAST}; no change of it could be seen"
        raise ImageError("picture without contrast", where, detail)


def changed(data: bytes, where: str, change: str, number: int, seed: int) -> bytes:
    """Return the picture in `data` as a PNG, changed in the manner of this number, 0 is not at all.

    `change` is `orientation` (by quarter turns, clockwise) or `quality` (blurred, noisy, flat).
    The same seed gives the same bytes.

    Raises:
        ImageError: it cannot be decoded.
    """
    image = _opened(data, where)
    if change == "orientation":
        turn = _TURNS[number]
        image = image if turn is None else image.transpose(turn)
    elif number == 1:
        image = image.filter(ImageFilter.GaussianBlur(max(1.0, max(image.size) / _BLUR)))
    elif number == 2:
        image = _noisy(image, seed)
    elif number == 3:
        image = _flat(image)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _opened(data: bytes, where: str) -> Image.Image:
    """Return a picture of bounded size, grey where it has no colours."""
    image = decode(data, where)
    image.thumbnail((EDGE, EDGE))
    red, *others = image.split()
    grey = all(red.tobytes() == each.tobytes() for each in others)
    return red if grey else image


def _noisy(image: Image.Image, seed: int) -> Image.Image:
    """Return a picture with grains that are lighter or darker, all colours alike."""
    edge = max(1, round(max(image.size) / _GRAIN))
    shape = -(-image.height // edge), -(-image.width // edge)
    grains = np.random.default_rng(seed).integers(-_NOISE, _NOISE + 1, shape)
    noise = grains.repeat(edge, 0).repeat(edge, 1)[: image.height, : image.width]
    values = np.asarray(image).astype(np.int64)
    found = values + (noise if values.ndim == 2 else noise[..., None])
    return Image.fromarray(found.clip(0, 255).astype(np.uint8))


def _flat(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    mean, (part, of) = int(values.mean()), _FLAT
    return Image.fromarray((mean + (values - mean) * part // of).astype(np.uint8))
