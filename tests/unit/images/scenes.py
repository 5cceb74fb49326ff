"""A scene of known brightness as samples of any type, and how a decoded picture differs from it."""

import io
import warnings
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from matcg.images import decode

HEIGHT, WIDTH = 40, 56
_ACROSS, _DOWN = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
# Not symmetric in any way; 0 and 1 are in it.
SCENE = (_ACROSS * 0.7 + _DOWN * 0.3) * (1 - 0.3 * np.sin(9 * _ACROSS * _DOWN) ** 2)
SCENE = (SCENE - SCENE.min()) / np.ptp(SCENE)
COLOURS = np.stack([SCENE, SCENE[::-1, ::-1], SCENE**2], axis=-1)
REAL = ("bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")


def typed(scene: Any, kind: str, bits: int = 0) -> Any:
    """Return a scene over the whole range of a type of samples, or its lowest bits."""
    dtype = np.dtype(kind)
    if dtype.kind == "b":
        return scene > 0.5
    if dtype.kind in "fc":
        return scene.astype(dtype)
    known = np.iinfo(dtype)
    # Of 64 bits half the range, which float arithmetic cannot leave.
    parts = 4 if dtype.itemsize == 8 else 1
    low, high = (0, 2**bits - 1) if bits else (known.min // parts, known.max // parts)
    return np.rint(low + scene * (float(high) - low)).astype(dtype)


def tiff(values: Any, **how: Any) -> bytes:
    """Return pixels as a TIFF of tifffile's."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tifffile.imwrite(buffer, values, metadata=None, **how)
    return buffer.getvalue()


def saved(image: Image.Image, form: str, **how: Any) -> bytes:
    """Return a picture as Pillow writes it."""
    buffer = io.BytesIO()
    image.save(buffer, form, **how)
    return buffer.getvalue()


def difference(data: bytes, scene: Any, binary: bool = False) -> float:
    """Return by how many grey levels a decoded picture is off the scene, at most."""
    shown = np.asarray(decode(data, "x")).astype(float)
    wanted = 255.0 * (scene > 0.5) if binary else 255 * scene
    wanted = wanted if wanted.ndim == 3 else np.repeat(wanted[..., None], 3, axis=2)
    assert shown.shape == wanted.shape
    return float(np.abs(shown - wanted).max())
