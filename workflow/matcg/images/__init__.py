"""Images from untrusted files: decoded within bounds, brought to a square, digested, compared."""

import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from matcg.images.bounds import MAX_PIXELS, ImageError, not_shown, require_size
from matcg.images.deep import format_of, samples_of, unopened
from matcg.images.windows import Samples, Window

__all__ = ["MAX_PIXELS", "ImageError"]

# What Pillow warns of is an error here, or no matter. Not at each picture, which takes longer than
# to open it does, and is no thread's own.
warnings.filterwarnings("ignore", module=r"PIL\.")

# What medical image sets come in. Others are refused: EPS, for one, would start an interpreter.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")
HEAD = 512  # bytes by which a format is known

# The perceptual hash: the signs of HASH_EDGE x HASH_EDGE low frequencies of a thumbnail, which
# imagehash makes of one four times as wide.
HASH_EDGE = 16
BITS = HASH_EDGE * HASH_EDGE
_THUMBNAIL = 4 * HASH_EDGE
_AT_ONCE = 16  # thumbnails whose frequencies the processor's cache holds
Thumbnail = npt.NDArray[np.uint8]

_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"  # begins any, then width and height in 4 bytes each
_BYTE = [bytes([bits]) for bits in (1, 2, 4, 8)]  # of a sample, in a PNG that Pillow shows whole


def decode(data: bytes, where: str, window: Window | None = None) -> Image.Image:
    """Return the RGB image in `data`; `where` names it in errors.

    `window` are the values of black and white in a picture of more than 8 bits, or of samples with
    sign or fractions; left out, its extremes without outliers (`windows.find_window`).

    Raises:
        ImageError: not an image, truncated, above `MAX_PIXELS`, or not to be shown faithfully.
    """
    with _explained(where, data):
        return _picture(data, where, window).convert("RGB")


def as_shown(data: bytes, where: str, window: Window | None = None) -> bytes:
    """Return a picture as a file of 8 bits: itself, or a PNG of it seen through `window`.

    Raises:
        ImageError: as `decode`; one of 8 bits is opened only, or not even that.
    """
    if data.startswith(_PNG) and data[len(_PNG) + 8 :][:1] in _BYTE:
        return data
    with _explained(where, data):
        found = _read(data, where)
        if isinstance(found, Image.Image):
            return data
        return as_png(found, window)


def as_png(samples: Samples, window: Window | None = None) -> bytes:
    """Return samples as the file of a picture of 8 bits."""
    buffer = io.BytesIO()
    samples.image(window).save(buffer, "PNG")
    return buffer.getvalue()


def size_shown(path: Path, where: str) -> tuple[int, int]:
    """Return width and height of the image in a file as it is displayed; only its head is read.

    Raises:
        ImageError: as `decode`.
    """
    with path.open("rb") as file, _explained(where, file.read(HEAD)):
        file.seek(0)
        try:
            image = _opened(file, where)
        except (ImageError, Image.DecompressionBombError):
            raise
        except Exception:  # what Pillow cannot open is read whole
            file.seek(0)
            image = _picture(file.read(), where, None)
        width, height = image.size
        # From 5 on the camera lay on its side.
        lying = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        return (height, width) if lying else (width, height)


def pixel_values(data: bytes, where: str) -> npt.NDArray[np.int64]:
    """Return what the pixels of a mask hold: grey values or palette's places, colours as 1RRGGBB.

    Raises:
        ImageError: as `decode`; no whole numbers; colours of more than 8 bits.
    """
    with _explained(where, data):
        found = _read(data, where)
        if isinstance(found, Samples):
            return _coded(_whole(found.values if found.places is None else found.places, where))
        image = ImageOps.exif_transpose(found)
        plain = image.mode in ("1", "L", "P")
        return _coded(np.array(image if plain else image.convert("RGB")).astype(np.int64))


def _whole(values: npt.NDArray[Any], where: str) -> npt.NDArray[np.int64]:
    """Return the samples of a mask as whole numbers, colours of 16 bits as those of 8."""
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.rint(values))).all():
        raise ImageError("image not shown", where, "values of a mask that are no whole numbers")
    if values.ndim == 3 and values.dtype.itemsize > 1:
        if values.min() < 0 or values.max() > 65535 or (values % 257).any():
            raise not_shown(where, "colours of a mask in more than 8 bits")
        values = values // 257
    return values.astype(np.int64)


def _coded(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return grey values as they are, and of colours 1RRGGBB unless they are grey."""
    if values.ndim == 2:
        return values
    red, green, blue = np.moveaxis(values, 2, 0)
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
    return fingerprints([thumbnail(data, where)])[0]


def thumbnail(data: bytes, where: str) -> Thumbnail:
    """Return what the perceptual hash is computed of, grey levels in as many rows as columns.

    Raises:
        ImageError: as `decode`.
    """
    with _explained(where, data):
        image = _read(data, where)
        if isinstance(image, Samples):
            image = image.image()
        # JPEG halves its size while it decodes, which saves more than the hash takes.
        image.draft(None, (2 * _THUMBNAIL, 2 * _THUMBNAIL))
        ImageOps.exif_transpose(image, in_place=True)
        size = _THUMBNAIL, _THUMBNAIL
        grey = _reduced(image).resize(size, Image.Resampling.LANCZOS)
        return np.frombuffer(grey.tobytes(), dtype=np.uint8).reshape(size)


def fingerprints(thumbnails: Sequence[Thumbnail]) -> list[str]:
    """Return the hashes of thumbnails, the bits of `imagehash.phash`.

    That takes one at a time, and longer for it than small pictures take to decode.
    """
    # Slow to import, and fine-tuning, which imports this module, never asks for it.
    from scipy.fftpack import dct

    found: list[str] = []
    for start in range(0, len(thumbnails), _AT_ONCE):
        pixels = np.stack(thumbnails[start : start + _AT_ONCE])
        rows = dct(pixels, axis=1)[:, :HASH_EDGE]
        low = dct(rows, axis=2)[:, :, :HASH_EDGE].reshape(len(pixels), BITS)
        middle = np.partition(low, (BITS // 2 - 1, BITS // 2))[:, BITS // 2 - 1 :][:, :2]
        signs = low > middle.sum(axis=1, keepdims=True) / 2
        found += [bits.tobytes().hex() for bits in np.packbits(signs, axis=1)]
    return found


def _picture(data: bytes, where: str, window: Window | None) -> Image.Image:
    """Return a picture of 8 bits, upright."""
    found = _read(data, where)
    return found.image(window) if isinstance(found, Samples) else ImageOps.exif_transpose(found)


def _read(data: bytes, where: str) -> Image.Image | Samples:
    """Return a picture of 8 bits by its header, or the samples of one of more."""
    try:
        image = _opened(io.BytesIO(data), where)
    except (ImageError, Image.DecompressionBombError):
        raise
    # A TIFF of another kind than Pillow's makes it raise nearly anything.
    except Exception:
        if (found := unopened(data, where)) is None:
            raise
        return found
    samples = samples_of(image, data, where)
    return image if samples is None else samples


def _opened(file: BinaryIO, where: str) -> Image.Image:
    """Return the image by its header, its pixels not read yet."""
    image = Image.open(file, formats=FORMATS)
    require_size(*image.size, where)
    return image


@contextmanager
def _explained(where: str, data: bytes) -> Iterator[None]:
    """Turn whatever a decoder raises about `data` into an ImageError."""
    try:
        yield
    except UnidentifiedImageError:
        name = format_of(data)
        known = f"its format seems to be {name}, which is" if name else "its format is"
        detail = f"{known} none of {', '.join(FORMATS)}; replace the file"
        raise ImageError("not an image", where, detail) from None
    except Image.DecompressionBombError as error:
        raise ImageError("image too large", where, f"{error}; scale the image down") from None
    except (ImageError, MemoryError):
        raise
    # Damaged files make the decoders raise nearly anything, RuntimeError and SyntaxError included.
    except Exception as error:
        detail = f"{error}; replace the file"
        raise ImageError("image damaged", where, detail) from None


def _reduced(image: Image.Image) -> Image.Image:
    """Return a small grey picture: every n-th pixel of a large one, then means of boxes of them."""
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    edge = 4 * _THUMBNAIL
    if min(image.size) >= 2 * edge:
        image = image.resize((edge, edge), Image.Resampling.NEAREST)
    box = (max(1, image.width // _THUMBNAIL), max(1, image.height // _THUMBNAIL))
    image = image if box == (1, 1) else image.reduce(box)
    return image if image.mode == "L" else image.convert("L")


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
