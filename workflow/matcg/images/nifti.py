"""NIfTI volumes: one slice of one, upright as radiologists see it, and how many there are.

A volume is brought to the nearest of the 24 ways that its axes can lie (nibabel's canonical one:
to the right, to the front, up). Voxels are not interpolated. Of a file that is not packed only the
slice and a few voxels for the window are read, of a packed one all, within a bound.
"""

import io
import logging
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matcg.images.bounds import MAX_BYTES, ImageError, not_shown, require_size
from matcg.images.windows import Array, Samples, Window, find_window

ENDINGS = (".nii", ".nii.gz")
AXES = ("sagittal", "coronal", "axial")
_HEADER = 1 << 12  # bytes in which the header stands
_SIZES = {348: "nifti1", 540: "nifti2"}  # the first number of a header
_CHUNK = 1 << 22
_LOOKED_AT = 1 << 21  # voxels that the window is found in


@dataclass(frozen=True)
class Cut:
    """How a volume is cut: along which axis, and whether its axes are turned or left as stored."""

    axis: str = "axial"
    stored: bool = False


class Volume:
    """A volume of which slices are read: by its header, and nibabel's array of its voxels."""

    def __init__(self, head: Any, voxels: Any, cut: Cut, where: str) -> None:
        if not (cut.stored or head["sform_code"] or head["qform_code"]):
            what = "NIfTI that does not say which way it lies; option slices: {orientation: stored}"
            raise ImageError("image not shown", where, f"{what} takes its axes as they are stored")
        self.where = where
        self.voxels = voxels
        # Of each stored axis: which of right, front and up it is, and whether it runs that way.
        self.lies = [(0, 1), (1, 1), (2, 1)] if cut.stored else _lies(head.get_best_affine(), where)
        self.across = [axis for axis, _ in self.lies].index(AXES.index(cut.axis))
        self.slices = int(voxels.shape[self.across])

    def slice(self, number: int) -> Array:
        """Return the values of a slice, counted from 1 to the right, to the front or up.

        Left of the picture is the patient's right, and of a sagittal slice the front; up is up or,
        of an axial slice, the front.
        """
        if not 1 <= number <= self.slices:
            detail = f"the volume has {self.slices} along this axis; name one of these"
            raise ImageError("slice missing", self.where, detail)
        runs = self.lies[self.across][1]
        at = number - 1 if runs > 0 else self.slices - number
        place: list[Any] = [slice(None)] * 3 + [0] * (len(self.voxels.shape) - 3)
        place[self.across] = at
        values = np.asarray(self.voxels[tuple(place)])
        left = [each for i, each in enumerate(self.lies) if i != self.across]
        if left[0][0] > left[1][0]:
            values, left = values.T, left[::-1]
        # Now along the first of the two axes, then the second; all of both run to the left of
        # and down the picture.
        values = values[:: -left[0][1], :: -left[1][1]]
        return values.T

    def window(self) -> Window:
        """Return the values of black and white of the whole volume, found in a part of it."""
        shape = self.voxels.shape[:3]
        step = max(1, math.ceil((math.prod(shape) / _LOOKED_AT) ** (1 / 3)))
        rest = (0,) * (len(self.voxels.shape) - 3)
        # Slices are looked at one by one: voxels of all of it would take its memory.
        parts = [
            np.asarray(self.voxels[(slice(None), slice(None), at, *rest)])[::step, ::step].ravel()
            for at in range((shape[2] - 1) % step // 2, shape[2], step)
        ]
        low, high = find_window(np.concatenate(parts))
        return float(low), float(high)


def is_volume(path: str) -> bool:
    """Tell by its name whether a file is NIfTI."""
    return path.casefold().endswith(ENDINGS)


def count_slices(path: Path, cut: Cut, where: str) -> tuple[int, int, int]:
    """Return how many slices a file has along an axis, their width and their height.

    Raises:
        ImageError: damaged, or of a kind that is not read.
    """
    with _explained(where):
        volume = _volume(_first(path, _HEADER), path, cut, where)
        left = sorted((axis, i) for i, (axis, _) in enumerate(volume.lies) if i != volume.across)
        width, height = (int(volume.voxels.shape[i]) for _, i in left)
        return volume.slices, width, height


def read_slice(
    path: Path, number: int, cut: Cut, where: str, window: Window | None = None
) -> Samples:
    """Return a slice by `window`, or else the one of the whole volume.

    Raises:
        ImageError: too large, damaged, or not to be shown faithfully.
    """
    with _explained(where):
        volume = _volume(_first(path, _HEADER), path, cut, where)
        file = volume.voxels
        length = file.offset + math.prod(file.shape) * file.dtype.itemsize
        if length > MAX_BYTES:
            raise ImageError("image too large", where, f"the volume exceeds {MAX_BYTES} bytes")
        size = path.stat().st_size
        if _packed(path):
            data = _first(path, length)
            volume, size = _volume(data, io.BytesIO(data), cut, where), len(data)
        if size < length:
            raise ImageError("image damaged", where, "NIfTI that is cut short; replace the file")
        return Samples(volume.slice(number), full=window or volume.window())


def _packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _first(path: Path, length: int) -> bytes:
    """Return the first bytes of a file, of a packed one as they are unpacked; never more."""
    packed = _packed(path)
    with path.open("rb") as file:
        if not packed:
            return file.read(length)
        stream, found = zlib.decompressobj(31), bytearray()
        data = b""
        while len(found) < length and (data := stream.unconsumed_tail or file.read(_CHUNK)):
            if stream.eof:
                stream, data = zlib.decompressobj(31), stream.unused_data + data
            found += stream.decompress(data, length - len(found))
        return bytes(found)


def _volume(data: bytes, voxels: Any, cut: Cut, where: str) -> Volume:
    """Return the volume whose file begins with `data`, its voxels to be read from a file.

    Extensions of the header, which may hold anything, are not looked at.
    """
    import nibabel
    from nibabel.arrayproxy import ArrayProxy

    logging.getLogger("nibabel.global").disabled = True
    two = _kind(data, where) == "nifti2"
    head = nibabel.Nifti2Header(data[:540]) if two else nibabel.Nifti1Header(data[:348])
    _require(head, where)
    file = str(voxels) if isinstance(voxels, Path) else voxels
    return Volume(head, ArrayProxy(file, head), cut, where)


def _kind(data: bytes, where: str) -> str:
    """Return which of the two formats the first bytes are of."""
    for number in (int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big")):
        kind = _SIZES.get(number)
        if kind == "nifti1" and data[344:348] == b"n+1\0":
            return kind
        if kind == "nifti2" and data[4:8] == b"n+2\0":
            return kind
    raise ImageError("not an image", where, "no NIfTI file of one part; convert it to .nii.gz")


def _require(head: Any, where: str) -> None:
    """Raise ImageError where a volume is not read, by its header alone."""
    shape = tuple(int(n) for n in head["dim"][1 : 1 + max(0, min(7, int(head["dim"][0])))])
    if len(shape) < 3 or min(shape, default=0) < 1:
        raise not_shown(where, f"NIfTI of {len(shape)} dimensions, not three")
    if any(n > 1 for n in shape[3:]):
        raise not_shown(
            where, f"NIfTI of {math.prod(shape[3:])} volumes, such as times or channels"
        )
    kind = head.get_data_dtype()
    if kind.kind not in "iuf" or kind.itemsize > 8:
        raise not_shown(where, "NIfTI of colours, complex numbers or 128 bits")
    for one, other in ((0, 1), (0, 2), (1, 2)):
        require_size(shape[one], shape[other], where, 8)
    if head.get_data_offset() < head.sizeof_hdr:
        raise ImageError("image damaged", where, "NIfTI whose voxels begin in its header")
    # A slope of 0 says that voxels are as stored.
    slope, shift = float(head["scl_slope"]), float(head["scl_inter"])
    if slope and not (math.isfinite(slope) and math.isfinite(shift)):
        raise not_shown(where, "NIfTI whose scl_slope or scl_inter is no number")


def _lies(affine: Array, where: str) -> list[tuple[int, int]]:
    """Return of each stored axis which of right, front and up it is, and 1 or -1 for its way."""
    from nibabel.orientations import io_orientation

    if not np.isfinite(affine).all():
        raise not_shown(where, "NIfTI whose affine is no numbers")
    turned = io_orientation(affine)
    if not np.isfinite(turned).all():
        raise not_shown(where, "NIfTI whose axes lie nowhere")
    return [(int(axis), int(way)) for axis, way in turned]


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turn whatever is raised about a volume into an ImageError that says nothing of its header."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        detail = f"it cannot be read as NIfTI ({type(error).__name__}); replace the file"
        raise ImageError("image damaged", where, detail) from None
