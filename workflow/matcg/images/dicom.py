"""DICOM files: one frame as the values that are meant to be shown, and of whom it is.

What pydicom says of a file may hold what stands in its header, names of patients included. So no
text of its errors, warnings or log is passed on.
"""

import io
import logging
import math
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from matcg.images import dicom_codecs as codecs
from matcg.images.bounds import MAX_BYTES, ImageError, not_shown, require_size
from matcg.images.dicom_codecs import Layout
from matcg.images.windows import Array, Samples, Window

HEAD = 132  # bytes up to the end of the mark
_MARK = b"DICM"
_SHORT = 4096  # bytes after the mark in which the transfer syntax stands
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
# The first element of a file's head, whose value is the length of the rest of it.
_LENGTH = b"\x02\0\0\0UL\x04\0"


@dataclass(frozen=True)
class Told:
    """What the header of a file says: how many frames, their size, and of whom they are.

    `patient` is the patient's identifier and else that of the study: never to be shown or written.
    """

    frames: int
    columns: int
    rows: int
    patient: str


def is_dicom(data: bytes) -> bool:
    """Tell by its first bytes whether a file is DICOM."""
    return data[HEAD - 4 : HEAD] == _MARK


def read_header(path: Path, where: str) -> Told:
    """Return what a file says of itself; its pixels are not read.

    Raises:
        ImageError: damaged, or without a picture.
    """
    names = ("PatientID", "StudyInstanceUID")
    try:
        with path.open("rb") as file:
            ds = _opened(file, where, names)
        known = [str(ds.get(name) or "").strip() for name in names]
        patient = next((f"{n}={v}" for n, v in zip(names, known, strict=True) if v), "")
        return Told(_frames(ds, where), *_size(ds, where), patient)
    except (ImageError, MemoryError):
        raise
    # Damaged files make pydicom raise nearly anything.
    except Exception as error:
        raise _damaged(error, where) from None


def read_frame(data: bytes, frame: int, where: str, window: Window | None = None) -> Samples:
    """Return a frame, counted from 1, by `window`, or else the window that the file says.

    Raises:
        ImageError: too large, damaged, or not to be shown faithfully.
    """
    try:
        ds = _opened(io.BytesIO(data), where)
        layout, frames = _layout(ds, where), _frames(ds, where)
        if not 1 <= frame <= frames:
            raise ImageError("frame missing", where, f"the file has {frames}; name one of these")
        values, colours = _values(ds, layout, frame - 1, where)
        if colours == "PALETTE COLOR":
            return Samples(_painted(ds, values, where), full=(0, 255))
        if colours in _GREY:
            return _grey(ds, layout, values, frame - 1, window, where)
        if colours.startswith("YBR"):
            if layout.allocated != 8:
                raise not_shown(where, f"DICOM in {colours} of more than 8 bits")
            values = np.asarray(Image.fromarray(values, "YCbCr").convert("RGB"))
        return Samples(values, full=(0, 2**layout.stored - 1))
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise _damaged(error, where) from None


def _damaged(error: Exception, where: str) -> ImageError:
    """Return an error that says nothing of what stands in the file."""
    detail = f"it cannot be read as DICOM ({type(error).__name__}); replace the file"
    return ImageError("image damaged", where, detail)


def _opened(file: BinaryIO, where: str, names: Sequence[str] = ()) -> Any:
    """Return the data set of a file, or but its size and what is named."""
    import pydicom

    head = file.read(HEAD + _SHORT)
    file.seek(0)
    if not is_dicom(head):
        raise ImageError("not an image", where, "no DICOM file, which has DICM at byte 128")
    logging.getLogger("pydicom").disabled = True
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    # Not for this call alone: other threads' calls would end that in the middle of it.
    warnings.filterwarnings("ignore", module="pydicom")
    if codecs.DEFLATED.encode() in head:
        file = io.BytesIO(_inflated(file.read(MAX_BYTES), where))
    tags: Any = [*names, "Rows", "Columns", "NumberOfFrames"] if names else None
    return pydicom.dcmread(file, stop_before_pixels=bool(names), specific_tags=tags)


def _inflated(data: bytes, where: str) -> bytes:
    """Return a file whose data set is not deflated, which pydicom would inflate without bounds."""
    if not data.startswith(_LENGTH, HEAD):
        raise not_shown(where, "deflated DICOM whose head does not say how long it is")
    at = HEAD + len(_LENGTH)
    start = at + 4 + int.from_bytes(data[at : at + 4], "little")
    deflated = codecs.DEFLATED.encode()
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = stream.decompress(data[start:], MAX_BYTES)
    if stream.unconsumed_tail:
        raise ImageError("image too large", where, f"inflated it exceeds {MAX_BYTES} bytes")
    # The plain syntax of the same encoding, whose identifier is three characters shorter.
    return data[:start].replace(deflated, deflated[:-3] + b"\0\0\0") + plain


def _number(ds: Any, name: str, where: str, default: int | None = None) -> int:
    """Return a whole number of the header."""
    value = ds.get(name)
    value = default if value is None else value
    if value is None:
        raise not_shown(where, f"DICOM that does not say {name}")
    if not isinstance(value, int):
        raise not_shown(where, f"DICOM whose {name} is no whole number")
    return int(value)


def _frames(ds: Any, where: str) -> int:
    return max(1, _number(ds, "NumberOfFrames", where, 1))


def _size(ds: Any, where: str) -> tuple[int, int]:
    """Return columns and rows, within bounds."""
    if "Rows" not in ds:
        raise ImageError("no picture", where, "DICOM without pixels: a report, or cut short")
    columns, rows = (_number(ds, name, where) for name in ("Columns", "Rows"))
    if min(columns, rows) < 1:
        raise not_shown(where, "DICOM of no pixels")
    require_size(columns, rows, where, 8)
    return columns, rows


def _layout(ds: Any, where: str) -> Layout:
    """Return how pixels are stored, checked before any is decoded."""
    columns, rows = _size(ds, where)
    if "PixelData" not in ds:
        floats = "FloatPixelData" in ds or "DoubleFloatPixelData" in ds
        kind = "DICOM of float pixels" if floats else "DICOM without pixel data"
        raise ImageError("image not shown" if floats else "no picture", where, kind)
    samples = _number(ds, "SamplesPerPixel", where, 1)
    allocated, sign = (_number(ds, n, where) for n in ("BitsAllocated", "PixelRepresentation"))
    stored = _number(ds, "BitsStored", where)
    layout = Layout(
        *(rows, columns, samples, allocated, stored, sign == 1),
        str(ds.get("PhotometricInterpretation") or "").strip(),
    )
    high = _number(ds, "HighBit", where, stored - 1)
    if allocated not in (1, 8, 16, 32) or not 0 < stored <= allocated or high != stored - 1:
        told = f"{stored} bits up to bit {high} of {allocated}"
        raise not_shown(where, f"DICOM whose samples are {told}, which cannot be")
    grey = layout.colours in (*_GREY, "PALETTE COLOR")
    if samples != (1 if grey else 3) or not (grey or layout.colours in _COLOURS):
        raise not_shown(where, f"DICOM of {samples} channels whose colours cannot be told")
    if not grey and (layout.signed or allocated not in (8, 16)):
        raise not_shown(where, f"DICOM in colours of {allocated} bits or with sign")
    require_size(columns, rows, where, samples * max(1, allocated // 8))
    return layout


def _values(ds: Any, layout: Layout, index: int, where: str) -> tuple[Array, str]:
    """Return the stored values of a frame, and how its colours are coded."""
    syntax = str(getattr(ds.file_meta, "TransferSyntaxUID", ""))
    if syntax in codecs.COMPRESSED:
        from pydicom.encaps import get_frame

        how: dict[str, Any] = {"number_of_frames": _frames(ds, where)}
        if ds.get("ExtendedOffsetTable"):
            how["extended_offsets"] = (ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths)
        data = get_frame(ds.PixelData, index, **how)
        return codecs.decode_frame(syntax, data, layout, where)
    if syntax not in codecs.NATIVE:
        raise not_shown(where, "DICOM in a compression that is not read")
    return _plain(ds, layout, index, where), layout.colours.removesuffix("_422")


def _plain(ds: Any, layout: Layout, index: int, where: str) -> Array:
    """Return the stored values of a frame that is not compressed."""
    pixels = layout.rows * layout.columns
    halved = layout.colours == "YBR_FULL_422"
    bits = pixels * layout.allocated * (2 if halved else layout.samples)
    data = memoryview(ds.PixelData)
    if not ds.original_encoding[1] and layout.allocated == 8 and ds["PixelData"].VR == "OW":
        # Written in words, of which the bytes are turned round.
        data = memoryview(np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes())
    if 8 * len(data) < bits * (index + 1):
        raise ImageError("image damaged", where, "DICOM that is cut short; replace the file")
    if layout.allocated == 1:
        first = bits * index
        held = np.frombuffer(data[first // 8 : (first + bits + 7) // 8], np.uint8)
        flat = np.unpackbits(held, bitorder="little")[first % 8 : first % 8 + bits]
        return flat.reshape(layout.shape)
    order = "<" if ds.original_encoding[1] else ">"
    n = bits // layout.allocated
    kind = np.dtype(f"{order}u{layout.allocated // 8}")
    values = np.frombuffer(data, kind, n, offset=index * n * kind.itemsize)
    if halved:
        return _unhalved(values, layout, where)
    planes = layout.samples > 1 and _number(ds, "PlanarConfiguration", where, 0) == 1
    return codecs.stored(values, layout, planes)


def _unhalved(values: Array, layout: Layout, where: str) -> Array:
    """Return colours of which two neighbours share blue and red: Y, Y, Cb, Cr."""
    if layout.columns % 2 or layout.allocated != 8:
        raise not_shown(where, "DICOM in YBR_FULL_422 of odd width or more than 8 bits")
    pairs = values.reshape(layout.rows, layout.columns // 2, 4)
    light = pairs[..., :2].reshape(layout.rows, layout.columns)
    shared = (np.repeat(pairs[..., at], 2, axis=1) for at in (2, 3))
    return np.stack([light, *shared], axis=-1)


def _item(ds: Any, frame: int, name: str) -> Any:
    """Return what holds a frame's own words: an item of its functional groups, else the file."""
    for groups, at in (("PerFrameFunctionalGroups", frame), ("SharedFunctionalGroups", 0)):
        held = ds.get(f"{groups}Sequence") or ()
        if at < len(held) and held[at].get(name):
            return held[at].get(name)[0]
    return ds


def _grey(
    ds: Any, layout: Layout, stored: Array, frame: int, window: Window | None, where: str
) -> Samples:
    """Return grey values after the modality's transformation, with their window."""
    held = _item(ds, frame, "PixelValueTransformationSequence")
    values, changed = _rescaled(held, ds, stored, where)
    padding = _padding(ds, layout, stored)
    if padding is not None and padding.any():
        values = values.astype(np.float64 if values.dtype.itemsize > 2 else np.float32)
        values[padding] = np.nan
    inverted = layout.colours == "MONOCHROME1"
    shape = str(ds.get("PresentationLUTShape") or "").strip()
    # The shape says the same as MONOCHROME1, or turns what is none.
    inverted = shape == "INVERSE" if shape in ("INVERSE", "IDENTITY") else inverted
    # What has no unit, such as a screenshot among CT, is not seen through a window in one.
    plain = layout.stored <= 8 and not changed and not layout.signed
    voi = _item(ds, frame, "FrameVOILUTSequence")
    full = None if plain else window
    if full is None and (voi.get("VOILUTSequence") or voi.get("WindowCenter") not in (None, "")):
        values, full = _through(voi, ds, values, where)
    if full is None and plain:
        full = (0, 2**layout.stored - 1)
    return Samples(values, inverted, full=full)


def _padding(ds: Any, layout: Layout, stored: Array) -> Any:
    """Return which pixels are none, None where the file says of no value that it means that."""
    value = ds.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = ds.get("PixelPaddingRangeLimit")
    limit = limit if isinstance(limit, int) else value
    # Written without sign where samples have one, by some.
    span = 1 << layout.allocated
    ends = sorted(v - span if layout.signed and v >= span // 2 else v for v in (value, limit))
    return (stored >= ends[0]) & (stored <= ends[1])


def _rescaled(held: Any, ds: Any, stored: Array, where: str) -> tuple[Array, bool]:
    """Return stored values as those of the modality, and whether they are others."""
    if held.get("ModalityLUTSequence"):
        return _looked_up(held.ModalityLUTSequence[0], ds, stored, where)[0], True
    slope, intercept = (
        _real(held, name, where, default)
        for name, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    if slope == 0:
        raise not_shown(where, "DICOM whose RescaleSlope is 0")
    if (slope, intercept) == (1, 0):
        return stored, False
    # Of 24 bits each is exact in a float32.
    small = stored.dtype.itemsize <= 2 and slope.is_integer() and intercept.is_integer()
    small = small and (abs(slope) * 65536 + abs(intercept)) < 2**24
    kind: Any = np.float32 if small else np.float64
    return stored.astype(kind) * kind(slope) + kind(intercept), True


def _real(held: Any, name: str, where: str, default: float | None = None) -> float:
    """Return a number of the header, the first where there are several."""
    value = held.get(name)
    if value is None or value == "":
        if default is None:
            raise not_shown(where, f"DICOM that does not say {name}")
        return default
    try:
        first = value if isinstance(value, str | int | float) else value[0]
        number = float(first)
    except (TypeError, ValueError, LookupError):
        number = math.nan
    if not math.isfinite(number):
        raise not_shown(where, f"DICOM whose {name} is no number")
    return number


def _through(voi: Any, ds: Any, values: Array, where: str) -> tuple[Array, Window]:
    """Return values and their window by what the file says of its own display."""
    if voi.get("VOILUTSequence"):
        table, bits = _looked_up(voi.VOILUTSequence[0], ds, values, where)
        return table, (0, 2**bits - 1)
    centre, width = (_real(voi, name, where) for name in ("WindowCenter", "WindowWidth"))
    kind = str(voi.get("VOILUTFunction") or "LINEAR").strip()
    if kind not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise not_shown(where, "DICOM whose VOILUTFunction is not known")
    if width < (1 if kind == "LINEAR" else 0) or (width == 0 and kind != "LINEAR"):
        raise not_shown(where, f"DICOM whose WindowWidth is {width:g}; give option 'window'")
    if kind == "SIGMOID":
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-4 * (values.astype(np.float64) - centre) / width)), (0, 1)
    # DICOM PS3.3, C.11.2.1.2: of a linear window half a value belongs to its ends.
    centre, width = (centre - 0.5, width - 1) if kind == "LINEAR" else (centre, width)
    low, high = centre - width / 2, centre + width / 2
    return values, (low, high if high > low else float(np.nextafter(low, np.inf)))


def _looked_up(item: Any, ds: Any, values: Array, where: str) -> tuple[Array, int]:
    """Return what a table says for values, those beyond it as at its ends, and its bits."""
    table, first, bits = _table(item.LUTDescriptor, item.LUTData, ds, where)
    whole = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=first)
    places = np.clip(np.floor(whole) - first, 0, len(table) - 1).astype(np.int64)
    shown = table[places].astype(np.float32)
    if values.dtype.kind == "f":
        shown[np.isnan(values)] = np.nan
    return shown, bits


def _table(descriptor: Any, data: Any, ds: Any, where: str) -> tuple[Array, int, int]:
    """Return a table, the value of its first entry, and how many bits an entry has."""
    entries, first, bits = map(int, descriptor)
    entries = entries or 65536
    if not 8 <= bits <= 16:
        raise not_shown(where, f"DICOM with a table of {bits} bits")
    if not isinstance(data, bytes):
        numbers = np.array([data] if isinstance(data, int) else list(data), dtype=np.int64)
        table = numbers.astype(np.uint16)
        # Of 8 bits two stand in a word.
        if len(table) != entries and bits == 8:
            table = table.view(np.uint8)[:entries].astype(np.uint16)
    else:
        size = 2 if len(data) >= 2 * entries else 1
        order = "<" if ds.original_encoding[1] else ">"
        table = np.frombuffer(data[: size * entries], f"{order}u{size}").astype(np.uint16)
    if len(table) != entries:
        raise not_shown(where, f"DICOM with a table of {len(table)} entries, not {entries}")
    return table, first, bits


def _painted(ds: Any, stored: Array, where: str) -> Array:
    """Return the colours that a palette gives stored values."""
    channels = []
    for name in ("Red", "Green", "Blue"):
        if f"{name}PaletteColorLookupTableData" not in ds:
            raise not_shown(where, "DICOM without its palette, or with one in segments")
        descriptor = ds[f"{name}PaletteColorLookupTableDescriptor"].value
        data = ds[f"{name}PaletteColorLookupTableData"].value
        table, first, bits = _table(descriptor, data, ds, where)
        places = stored.astype(np.int64) - first
        if places.min() < 0 or places.max() >= len(table):
            raise not_shown(where, f"DICOM with samples beyond its palette of {len(table)} colours")
        # Some write 8 bits as the upper half of 16, some as the lower one.
        wide = bits > 8 or table.max(initial=0) > 255
        channels.append((table >> (8 if wide else 0)).astype(np.uint8)[places])
    return np.stack(channels, axis=-1)
