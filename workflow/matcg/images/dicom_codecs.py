"""Compressed frames of DICOM: the head of the codestream is held to the file's, then it is decoded.

A codestream that is larger than the file says, or of other bits, is never decoded: so none takes
more memory than was asked for, and none is shown otherwise than it was meant.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from matcg.images.bounds import ImageError, not_shown
from matcg.images.windows import Array

NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
DEFLATED = "1.2.840.10008.1.2.1.99"
# Transfer syntaxes by what decodes them (DICOM PS3.6, table A-1, as pydicom.uid has it).
_RLE = {"1.2.840.10008.1.2.5"}
_JPEG = {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70)}
_JPEG_LS = {f"1.2.840.10008.1.2.4.{n}" for n in (80, 81)}
_WAVELETS = {f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 201, 202, 203)}
COMPRESSED = _RLE | _JPEG | _JPEG_LS | _WAVELETS

_HEADS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # markers that tell the size
_SIZE = b"\xff\x4f\xff\x51"  # begins JPEG 2000's codestream
_END = b"\xff\xd9"


@dataclass(frozen=True)
class Layout:
    """How the pixels of a frame are stored, as the file says."""

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    signed: bool
    colours: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of one sample."""
        return np.dtype(f"{'i' if self.signed else 'u'}{max(1, self.allocated // 8)}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of a frame: grey, or with colours last."""
        return (self.rows, self.columns, self.samples)[: 2 + (self.samples > 1)]


@dataclass(frozen=True)
class _Head:
    """What a codestream says of itself."""

    rows: int
    columns: int
    samples: int
    bits: int
    signed: bool = False


def decode_frame(syntax: str, data: bytes, layout: Layout, where: str) -> tuple[Array, str]:
    """Return the stored values of a frame, and how its colours are coded then.

    Raises:
        ImageError: it is not what the file says.
        Exception: damaged.
    """
    import imagecodecs

    colours = layout.colours
    if syntax in _RLE:
        return _runs(data, layout), colours
    # Filled up to an even length, by some with more than the zero that the standard asks for.
    data = data.rstrip(b"\0\xff")
    if not data.endswith(_END):
        raise ImageError("image damaged", where, "a frame that is cut short; replace the file")
    if syntax in _JPEG:
        _require(_jpeg_head(data), layout, where)
        kind = "RGB" if colours == "RGB" else "YCBCR"
        _require_colours(data, layout, where)
        how: dict[str, Any] = {}
        if layout.samples == 3:
            how = {"colorspace": kind, "outcolorspace": "RGB"}
        values, colours = imagecodecs.jpeg8_decode(data, **how), "RGB" if how else colours
    elif syntax in _JPEG_LS:
        _require(_jpeg_head(data), layout, where)
        values = imagecodecs.jpegls_decode(data)
    else:
        head = _wavelet_head(data)
        _require(head, layout, where)
        # Not `htj2k_decode`, which goes on where OpenJPH has met an error.
        values = imagecodecs.jpeg2k_decode(data)
        colours = "RGB" if colours in ("YBR_ICT", "YBR_RCT") else colours
    return _typed(values.reshape(layout.shape), layout, where), colours


def _runs(data: bytes, layout: Layout) -> Array:
    """Return a frame of run lengths: bytes of all pixels, the highest first, one part a byte."""
    import imagecodecs

    parts = layout.samples * layout.allocated // 8
    if int.from_bytes(data[:4], "little") != parts:
        raise ValueError("other number of parts")
    size = layout.rows * layout.columns * parts
    unsigned = np.dtype(f"<u{layout.allocated // 8}")
    held = imagecodecs.dicomrle_decode(data, unsigned, out=size)
    values = np.frombuffer(held, unsigned, size // unsigned.itemsize)
    return stored(values, layout, planes=layout.samples > 1)


def stored(values: Array, layout: Layout, planes: bool = False) -> Array:
    """Return a frame of its stored bits alone, with their sign: the bits above hold anything.

    With `planes` each colour's values stand together.
    """
    if planes:
        values = np.moveaxis(values.reshape(layout.samples, layout.rows, layout.columns), 0, -1)
    values = values.reshape(layout.shape)
    spare = 8 * values.dtype.itemsize - layout.stored
    kind = f"{'i' if layout.signed else 'u'}{values.dtype.itemsize}"
    plain = values.astype(values.dtype.newbyteorder("="), copy=False).view(f"u{kind[1:]}")
    return (plain << spare).view(kind) >> spare if spare else plain.view(kind)


def _typed(values: Array, layout: Layout, where: str) -> Array:
    """Return decoded numbers in the type that the file says."""
    if values.dtype.kind == "u" and layout.signed:
        return stored(values, layout)
    low, high = (-(1 << layout.stored - 1), 1 << layout.stored - 1) if layout.signed else (0, 0)
    high = high or 1 << layout.stored
    if values.size and not low <= int(values.min()) <= int(values.max()) < high:
        raise not_shown(where, f"DICOM whose samples do not fit its {layout.stored} bits")
    return values


def _require(head: _Head, layout: Layout, where: str) -> None:
    """Raise ImageError unless a codestream is of the size and bits that the file says."""
    asked = (layout.rows, layout.columns, layout.samples)
    if (head.rows, head.columns, head.samples) != asked:
        told = f"{head.columns} x {head.rows} x {head.samples}"
        wanted = f"{layout.columns} x {layout.rows} x {layout.samples}"
        raise not_shown(where, f"DICOM of {wanted} samples whose compressed frame has {told}")
    # Numbers with sign in fewer bits: nobody could tell which bit is the sign.
    few = layout.signed and head.bits < layout.stored
    if head.bits > layout.allocated or few or (head.signed and not layout.signed):
        raise not_shown(
            where, f"DICOM of {layout.stored} bits whose compressed frame has {head.bits} bits"
        )


def _jpeg_head(data: bytes) -> _Head:
    """Return what a JPEG or JPEG-LS says of its size."""
    for marker, body in _segments(data):
        if marker in _HEADS:
            rows, columns = (int.from_bytes(body[at : at + 2], "big") for at in (1, 3))
            return _Head(rows, columns, body[5], body[0])
    raise ValueError("no head")


def _segments(data: bytes) -> list[tuple[int, bytes]]:
    """Return the markers of a JPEG up to its pixels, each with what follows it."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        if data[at + 1] == 0xFF:  # filling
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        found.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + length
    return found


def _require_colours(data: bytes, layout: Layout, where: str) -> None:
    """Raise ImageError where a JPEG's own words on its colours are not those of the file."""
    if layout.samples != 3:
        return
    told = ""
    for marker, body in _segments(data):
        if marker == 0xEE and body.startswith(b"Adobe") and len(body) > 11:
            told = "YBR" if body[11] else "RGB"
        elif marker == 0xE0 and body.startswith(b"JFIF") and not told:
            told = "YBR"
    if told and told != layout.colours[:3]:
        raise not_shown(where, f"DICOM in {layout.colours} whose JPEG says that it is {told}")


def _wavelet_head(data: bytes) -> _Head:
    """Return what a JPEG 2000 says of its size."""
    at = data.index(_SIZE) + len(_SIZE)
    across, down, left, top = np.frombuffer(data[at + 4 : at + 20], ">u4").tolist()
    samples = int.from_bytes(data[at + 36 : at + 38], "big")
    # Of each channel a byte: bits but one, and above them whether there is a sign.
    kinds = data[at + 38 : at + 38 + 3 * samples : 3]
    if len(set(kinds)) != 1:
        raise ValueError("channels of different bits")
    return _Head(down - top, across - left, samples, (kinds[0] & 127) + 1, kinds[0] > 127)
