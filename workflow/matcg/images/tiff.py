"""TIFF files whose samples Pillow does not read, or not as they are meant."""

import io
import logging
import math
from typing import Any

import numpy as np
from PIL import Image

from matcg.images.bounds import ImageError, not_shown, require_size
from matcg.images.windows import Array, Samples

_GREY = (0, 1)  # photometric interpretations; the first has white at 0
_COLOURS, _PALETTE, _INKS, _SUBSAMPLED, _LAB = 2, 3, 5, 6, 8
_ALPHA = ({1}, {2})
# Numbers of tags; the last is GDAL's, of the value that stands for none.
_BITS, _COMPRESSION, _PHOTOMETRIC, _TURN, _PLANES = 258, 259, 262, 274, 284
_PREDICTOR, _ALSO, _FORMAT, _BLANK = 317, 338, 339, 42113
# None, LZW, Deflate (two numbers), LZMA, Zstandard, PackBits: each bounded by what it is to yield.
_PACKED = 32773
_COMPRESSIONS = {1, 5, 8, 32946, 34925, 50000, _PACKED}


def is_tiff(data: bytes) -> bool:
    """Tell whether bytes begin as a TIFF does, or one of more than 4 GB."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_plain(image: Image.Image) -> bool:
    """Tell whether Pillow shows an opened TIFF as it is meant."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    # Of unsigned numbers: 1; what is not told (4) is taken for the same.
    if max(tags.get(_BITS, (1,))) > 8 or not set(tags.get(_FORMAT, (1,))) <= {1, 4}:
        return False
    # Pillow takes packed differences of neighbours, which tifffile writes, for their values.
    if tags.get(_PREDICTOR, 1) != 1 and tags.get(_COMPRESSION) == _PACKED:
        return False
    photometric, planes = tags.get(_PHOTOMETRIC), tags.get(_PLANES, 1)
    if photometric in _GREY and len(tags.get(_BITS, (1,))) > 1:
        return planes == 1 and set(tags.get(_ALSO, ())) in _ALPHA
    return planes == 1 or photometric not in (_SUBSAMPLED, _LAB)


def read_tiff(data: bytes, where: str) -> Samples:
    """Return the samples of a TIFF's first page.

    Raises:
        ImageError: too large, cut short, or of a kind that is not read.
        Exception: damaged.
    """
    # Slow to import, and no other format needs it.
    import tifffile

    logging.getLogger("tifffile").disabled = True  # what it warns of is an error here or nothing
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages.first
        _require(page, len(data), where)
        values = page.asarray(squeeze=False, maxworkers=1)
        turn, blank = (page.tags.valueof(tag) for tag in (_TURN, _BLANK))
        # (planes, 1, height, width, samples), one of planes and samples being 1.
        values = np.moveaxis(values[:, 0], 0, -1).reshape(*values.shape[2:4], -1)
        values, full = _shown(places := values, page)
        coded = upright(places[..., 0], turn or 1) if page.photometric == _PALETTE else None
    blank = None if blank is None else float(str(blank).strip(" \0"))
    return Samples(upright(values, turn or 1), int(page.photometric) == 0, blank, full, coded)


def _shown(values: Array, page: Any) -> tuple[Array, tuple[int, int] | None]:
    """Return grey or RGB of all samples of the pixels, and black and white where that is told."""
    bits, photometric = int(page.bitspersample), int(page.photometric)
    if photometric == _INKS:
        inks = np.ascontiguousarray(values[..., :4] >> (bits - 8)).astype(np.uint8)
        return np.asarray(Image.fromarray(inks, "CMYK").convert("RGB")), (0, 255)
    if photometric == _PALETTE:
        colours: Array = page.colormap[:, values[..., 0]] >> 8
        return np.moveaxis(colours, 0, -1), (0, 255)
    shown = values[..., 0] if photometric in _GREY else values[..., :3]
    full = (0, 2**bits - 1) if shown.dtype.kind in "bu" and bits <= 8 else None
    return shown.astype(np.uint8) if shown.dtype.kind == "b" else shown, full


def _require(page: Any, length: int, where: str) -> None:
    """Raise ImageError where a page is not read, before any of it is decoded."""
    # A damaged tag may hold several, which would be multiplied as a list is.
    width, height, samples = map(int, (page.imagewidth, page.imagelength, page.samplesperpixel))
    photometric, also = int(page.photometric or 0), {int(each) for each in page.extrasamples}
    kind = f"TIFF of {samples} x {page.bitspersample}-bit samples"
    if page.dtype is None or page.dtype.kind not in "biuf" or isinstance(page.bitspersample, tuple):
        formats = {3: "float", 5: "complex integer", 6: "complex"}
        name = formats.get(int(page.sampleformat or 1), "mixed or unusual")
        raise not_shown(where, f"{kind} of {name} type, which cannot be read")
    if page.imagedepth > 1:
        raise not_shown(where, f"TIFF of a volume, {page.imagedepth} slices deep")
    require_size(width, height, where, samples * page.dtype.itemsize)
    grey = photometric in _GREY and (samples == 1 or (samples == 2 and also in _ALPHA))
    whole = page.dtype.kind == "u"
    inks = photometric == _INKS and samples >= 4 and whole and page.bitspersample in (8, 16, 32)
    palette = photometric == _PALETTE and samples == 1 and whole and page.colormap is not None
    # Of several samples of one bit each writer packs a row in its own way.
    packed = samples > 1 and page.bitspersample == 1
    colours = photometric == _COLOURS and samples >= 3
    if packed or not (grey or colours or inks or palette):
        name = getattr(page.photometric, "name", str(photometric))
        raise not_shown(where, f"{kind} whose colours (photometric {name}) cannot be told")
    if int(page.compression) == 1 and int(page.predictor or 1) != 1:
        raise not_shown(where, f"{kind} that may be differences, which uncompressed none should be")
    if int(page.compression) not in _COMPRESSIONS or page.jpegheader is not None:
        name = getattr(page.compression, "name", str(page.compression))
        raise not_shown(where, f"{kind} with compression {name}, which is not read")
    _require_parts(page, length, where)


def _require_parts(page: Any, length: int, where: str) -> None:
    """Raise ImageError unless all strips or tiles are in the file: others would be made up."""
    planes = page.samplesperpixel if int(page.planarconfig or 1) == 2 else 1
    if page.is_tiled:
        edges = int(page.tilewidth), int(page.tilelength)
        each = page.samplesperpixel // planes * page.dtype.itemsize
        require_size(edges[0] * int(page.tiledepth), edges[1], where, each)
    else:
        edges = page.imagewidth, min(int(page.rowsperstrip), page.imagelength)
    parts = math.ceil(page.imagewidth / edges[0]) * math.ceil(page.imagelength / edges[1]) * planes
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    whole = page.is_contiguous or len(places) == parts
    if not whole or any(not 0 < n <= length - start for start, n in places):
        raise ImageError("image damaged", where, "TIFF that is cut short; replace the file")


def upright(values: Array, orientation: int) -> Array:
    """Return pixels (height, width, ...) as they are displayed, by EXIF's number for that."""
    if orientation not in range(1, 9):
        return values
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    return values[::down, ::across]
