"""Images from untrusted files: decoded within bounds, brought to a square, digested by pixels."""

import hashlib
import io
import warnings
from typing import cast

from PIL import Image, ImageOps, UnidentifiedImageError

from matcg.errors import DataError

# Whole-slide scans reach gigapixels; a question about one picture never needs more than this.
MAX_PIXELS = 64_000_000
# What medical image sets come in. Others are refused: EPS, for one, would start an interpreter.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")


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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                size = f"{image.width} x {image.height} pixels exceed the limit of {MAX_PIXELS}"
                raise ImageError("image too large", where, f"{size}; scale the image down")
            return _to_rgb(ImageOps.exif_transpose(image))
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


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return `image` in RGB; 16-bit grey is scaled: plain conversion would clip it to white."""
    if image.mode.startswith(("I", "F")):
        low, high = cast(tuple[float, float], image.getextrema())  # one band, one pair
        scale = 255 / max(1, float(high) - float(low))
        image = image.convert("F").point(lambda value: (value - float(low)) * scale)
    return image.convert("L").convert("RGB") if image.mode == "F" else image.convert("RGB")


def fit(image: Image.Image, size: int, geometry: str) -> Image.Image:
    """Return `image` as a `size` x `size` square.

    Geometry `squash` stretches, `pad` keeps the aspect ratio on a black ground (as the original
    LLaVA trained), `crop` keeps the centre (as the library's CLIP processor does).
    """
    if geometry == "squash":
        return image.resize((size, size), Image.Resampling.BILINEAR)
    if geometry == "pad":
        return ImageOps.pad(image, (size, size), Image.Resampling.BILINEAR)
    if geometry == "crop":
        return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    raise ValueError(f"geometry '{geometry}' is none of squash, pad, crop")


def pixel_digest(image: Image.Image) -> str:
    """Return the SHA-256 of size and decoded pixels: equal pictures in other files are found."""
    head = f"{image.mode} {image.width} {image.height} ".encode()
    return hashlib.sha256(head + image.tobytes()).hexdigest()
