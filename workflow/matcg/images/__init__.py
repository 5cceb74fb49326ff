"""Images from untrusted files: decoded within bounds, brought to a square, digested, compared."""

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from matcg.errors import DataError

# Whole-slide scans reach gigapixels; a question about one picture never needs more than this.
MAX_PIXELS = 64_000_000
# What medical image sets come in. Others are refused: EPS, for one, would start an interpreter.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")

# The perceptual hash: the signs of HASH_EDGE x HASH_EDGE low frequencies of a thumbnail, which
# imagehash makes of one four times as wide.
HASH_EDGE = 16
BITS = HASH_EDGE * HASH_EDGE
_THUMBNAIL = 4 * HASH_EDGE


class ImageError(DataError):
    """A file that cannot be used as an image; `kind` is the countable part of the reason."""

    def __init__(self, kind: str, where: str, detail: str) -> None:
        super().__init__(f"{where}: {kind}: {detail}")
        self.kind = kind
        self.detail = detail


def decode(data: bytes, where: str) -> Image.Image:
    """Return the RGB image in `data`; `where` names it in errors.

    Raises:
        ImageError: not an image, truncated, or above `MAX_PIXELS`.
    """
    with _explained(where):
        return _to_rgb(ImageOps.exif_transpose(_opened(io.BytesIO(data), where)))


def size_shown(path: Path, where: str) -> tuple[int, int]:
    """Return width and height of the image in a file as it is displayed; only its head is read.

    Raises:
        ImageError: as `decode`.
    """
    with _explained(where), path.open("rb") as file:
        image = _opened(file, where)
        width, height = image.size
        # From 5 on the camera lay on its side.
        lying = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        return (height, width) if lying else (width, height)


def pixel_values(data: bytes, where: str) -> npt.NDArray[np.int64]:
    """Return what the pixels of a mask hold: grey values or palette's places, colours as 1RRGGBB.

    Raises:
        ImageError: as `decode`.
    """
    with _explained(where):
        image = ImageOps.exif_transpose(_opened(io.BytesIO(data), where))
        if image.mode in ("1", "L", "P") or image.mode.startswith("I"):
            return np.array(image).astype(np.int64)
        red, green, blue = np.moveaxis(np.array(image.convert("RGB")).astype(np.int64), 2, 0)
        colours = (1 << 24) + (red << 16) + (green << 8) + blue
        return np.where((red == green) & (green == blue), red, colours)


def fingerprint(data: bytes, where: str) -> str:
    """Return the perceptual hash of the image in `data`, as `BITS` bits in hexadecimal.

    Copies of a picture have hashes that differ in few bits or none, also when they were scaled,
    recompressed or brightened (docs/benchmarks.md has the figures). A file that is cut short or
    damaged is found out on the way.

    Raises:
        ImageError: as `decode`.
    """
    # Slow to import, and fine-tuning, which imports this module, never asks for it.
    from imagehash import phash

    with _explained(where):
        image = _opened(io.BytesIO(data), where)
        # JPEG halves its size while it decodes, which saves more than the hash takes.
        image.draft(None, (2 * _THUMBNAIL, 2 * _THUMBNAIL))
        thumbnail = _thumbnail(ImageOps.exif_transpose(image))
        return np.packbits(phash(thumbnail, hash_size=HASH_EDGE).hash).tobytes().hex()


def _opened(file: BinaryIO, where: str) -> Image.Image:
    """Return the image by its header, its pixels not read yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(file, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width} x {image.height} pixels exceed the limit of {MAX_PIXELS}"
        raise ImageError("image too large", where, f"{size}; scale the image down")
    return image


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageError."""
    try:
        yield
    except UnidentifiedImageError:
        detail = f"its format is none of {', '.join(FORMATS)}; replace the file"
        raise ImageError("not an image", where, detail) from None
    except Image.DecompressionBombError as error:
        raise ImageError("image too large", where, f"{error}; scale the image down") from None
    except (ImageError, MemoryError):
        raise
    # Damaged files make the decoders raise nearly anything, RuntimeError and SyntaxError included.
    except Exception as error:
        detail = f"{error}; replace the file"
        raise ImageError("image damaged", where, detail) from None


def _thumbnail(image: Image.Image) -> Image.Image:
    """Return a small grey picture: every n-th pixel of a large one, then means of boxes of them."""
    if image.mode not in ("L", "RGB"):
        image = _to_rgb(image)
    edge = 4 * _THUMBNAIL
    if min(image.size) >= 2 * edge:
        image = image.resize((edge, edge), Image.Resampling.NEAREST)
    box = (max(1, image.width // _THUMBNAIL), max(1, image.height // _THUMBNAIL))
    return image.reduce(box).convert("L")


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return `image` in RGB; 16-bit grey is scaled: plain conversion would clip it to white."""
    if image.mode.startswith(("I", "F")):
        low, high = cast(tuple[float, float], image.getextrema())  # one band, one pair
        scale = 255 / max(1, float(high) - float(low))
        image = image.convert("F").point(lambda value: (value - float(low)) * scale)
    return image.convert("L").convert("RGB") if image.mode == "F" else image.convert("RGB")


def fit(
    image: Image.Image, size: int, geometry: str, fill: tuple[int, int, int] | None = None
) -> Image.Image:
    """Return `image` as a `size` x `size` square.

    Geometry `squash` stretches, `pad` keeps the aspect ratio on a ground of colour `fill` (RGB,
    else black), `crop` keeps the centre (as the library's CLIP processor does).
    """
    if geometry == "squash":
        return image.resize((size, size), Image.Resampling.BILINEAR)
    if geometry == "pad":
        return ImageOps.pad(image, (size, size), Image.Resampling.BILINEAR, color=fill)
    if geometry == "crop":
        return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    raise ValueError(f"geometry '{geometry}' is none of squash, pad, crop")


def pixel_digest(image: Image.Image) -> str:
    """Return the SHA-256 of size and decoded pixels: equal pictures in other files are found."""
    head = f"{image.mode} {image.width} {image.height} ".encode()
    return hashlib.sha256(head + image.tobytes()).hexdigest()
