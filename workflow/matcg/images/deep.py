"""Pictures of more than 8 bits, or of signed or float samples, as numbers of all their bits."""

import io
import re
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from matcg.images.bounds import ImageError, not_shown, require_size
from matcg.images.tiff import is_plain, is_tiff, read_tiff, upright
from matcg.images.windows import Array, Samples

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's markers that tell the size
_CODESTREAM = b"\xff\x4f\xff\x51"  # begins JPEG 2000's own header
_COLOUR_FLOATS = re.compile(rb"PF\s+(\d+)\s+(\d+)\s+(\S+)\s")
# What other formats begin with, so that a reason can name them.
_OTHERS = {
    (128, b"DICM"): "DICOM",
    (4, b"ftyp"): "HEIF or AVIF",
    (0, b"\xff\x0a"): "JPEG XL",
    (4, b"JXL "): "JPEG XL",
    (0, b"\xff\xd8\xff\xf7"): "JPEG-LS",
    (0, b"8BPS"): "Photoshop's",
    (0, b"\x76\x2f\x31\x01"): "OpenEXR",
    (0, b"\x1f\x8b"): "gzip (NIfTI, perhaps)",
    (344, b"n+1\0"): "NIfTI",
    (0, b"\x93NUMPY"): "NumPy's",
    (0, b"%PDF"): "PDF",
    (0, b"<"): "HTML, SVG or XML",
}


def format_of(data: bytes) -> str:
    """Return the name of a known format that is not read, empty where it is not known."""
    found = (name for (at, mark), name in _OTHERS.items() if data[at:].startswith(mark))
    return next(found, "")


def samples_of(image: Image.Image, data: bytes, where: str) -> Samples | None:
    """Return the samples of an opened picture, None where Pillow shows all of its bits.

    Raises:
        ImageError: too large, or of a kind that is not read.
        Exception: damaged.
    """
    if image.format == "TIFF":
        return None if is_plain(image) else read_tiff(data, where)
    if image.format == "PNG":
        if data[24] <= 8:
            return None
        import imagecodecs

        require_size(*image.size, where, 8)
        return _turned(image, imagecodecs.png_decode(data), "PNG", where)
    if image.format == "JPEG2000":
        values = _wavelets(data, where)
        return None if values is None else _turned(image, values, "JPEG 2000", where)
    return _netpbm(image, data, where) if image.format == "PPM" else None


def unopened(data: bytes, where: str) -> Samples | None:
    """Return the samples of a picture that Pillow cannot open, None where it is of no format here.

    Raises:
        ImageError: too large, or of a kind that is not read.
        Exception: damaged.
    """
    if is_tiff(data):
        return read_tiff(data, where)
    if data.startswith(b"\xff\xd8\xff"):
        return _twelve_bits(data, where)
    if found := _COLOUR_FLOATS.match(data):
        width, height = int(found[1]), int(found[2])
        require_size(width, height, where, 12)
        head = b"Pf\n%d %d\n%s\n" % (3 * width, height, found[3])
        return Samples(_thrice(head, data[found.end() :], width, height))
    if data[4:8] == b"jP  " and (values := _wavelets(data, where)) is not None:
        return Samples(_colours(values, "JPEG 2000", where))
    return None


def _colours(values: Array, name: str, where: str) -> Array:
    """Return grey (height, width) or RGB (height, width, 3) of pixels, without transparency."""
    channels = values.shape[2] if values.ndim == 3 else 1
    if channels > 4:
        raise not_shown(where, f"{name} of {channels} channels, which are no colours")
    if channels >= 3:
        return values[..., :3]
    return values[..., 0] if values.ndim == 3 else values


def _turned(image: Image.Image, values: Array, name: str, where: str) -> Samples:
    turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    return Samples(upright(_colours(values, name, where), turn))


def _wavelets(data: bytes, where: str) -> Array | None:
    """Return what a JPEG 2000 holds, None where it is of 8 bits or fewer, without sign."""
    at = data.find(_CODESTREAM) + len(_CODESTREAM)
    across, down, left, top = np.frombuffer(data[at + 4 : at + 20], ">u4").tolist()
    channels = int.from_bytes(data[at + 36 : at + 38], "big")
    # Of each channel a byte: bits but one, and above them whether there is a sign.
    kinds = data[at + 38 : at + 38 + 3 * channels : 3]
    if max(kinds, default=0) < 8 and channels <= 4:
        return None
    require_size(across - left, down - top, where, 4 * min(channels, 4))
    if channels > 4:
        raise not_shown(where, f"JPEG 2000 of {channels} channels, which are no colours")
    # OpenJPEG computes with 32 bits, which do not suffice for many more.
    if (bits := max(kind & 127 for kind in kinds) + 1) > 22:
        raise not_shown(where, f"JPEG 2000 of {bits} bits")
    space = data.find(b"colr", 0, at)
    # Enumerated colour spaces: 16 is sRGB, 17 grey.
    if space > 0 and data[space + 4] == 1 and data[space + 10] not in (16, 17):
        raise not_shown(where, f"JPEG 2000 in colour space {data[space + 10]}")
    import imagecodecs

    values: Array = imagecodecs.jpeg2k_decode(data)
    return values


def _twelve_bits(data: bytes, where: str) -> Samples | None:
    """Return what a JPEG of more than 8 bits holds, None where there is no head of one."""
    at, size, turn = 2, (0, 0, 0, 0), 1
    while at + 9 < len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _FRAMES:
            height, width = (int.from_bytes(data[at + i : at + i + 2], "big") for i in (5, 7))
            size = (data[at + 4], width, height, data[at + 9])
        if data[at + 4 : at + 10] == b"Exif\0\0":
            exif = Image.Exif()
            exif.load(data[at + 4 : at + 2 + length])
            turn = exif.get(ExifTags.Base.Orientation, 1)
        at += 2 + length
    bits, width, height, channels = size
    if bits <= 8:
        return None
    require_size(width, height, where, 2 * channels)
    if channels not in (1, 3):
        raise not_shown(where, f"JPEG of {channels} x {bits} bits")
    # Without an end the decoder makes up what is missing.
    if data.rfind(b"\xff\xd9") < at:
        raise ImageError("image damaged", where, "JPEG that is cut short; replace the file")
    import imagecodecs

    return Samples(upright(imagecodecs.jpeg8_decode(data), turn))


def _netpbm(image: Image.Image, data: bytes, where: str) -> Samples | None:
    """Return what a PGM, PPM or PFM holds, None where its largest value is below 256."""
    if image.mode in ("I", "F"):
        require_size(*image.size, where, 4)
        return Samples(np.asarray(image))
    name, _, offset, told = image.tile[0]  # type: ignore[attr-defined]
    most = told[1] if isinstance(told, tuple) and len(told) > 1 else 255
    if not isinstance(most, int) or most < 256:
        return None
    # Pillow cuts colours to 8 bits, but not grey: so three times as many pixels of that.
    width, height = image.size
    require_size(width, height, where, 12)
    head = b"%s %d %d %d\n" % (b"P2" if name == "ppm_plain" else b"P5", 3 * width, height, most)
    return Samples(_thrice(head, data[offset:], width, height))


def _thrice(head: bytes, body: bytes, width: int, height: int) -> Array:
    """Return RGB pixels read as a grey picture three times as wide."""
    with Image.open(io.BytesIO(head + body), formats=("PPM",)) as image:
        values: Any = np.asarray(image)
    return values.reshape(height, width, 3)  # type: ignore[no-any-return]
