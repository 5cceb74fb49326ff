"""Valid pictures and rows, and how their structure is changed: for tests and a benchmark."""

import copy
import json
import random
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from data_makers import row
from images.scenes import COLOURS, SCENE, saved, tiff, typed
from matcg.config.reader_options import Options
from matcg.data.release_table import read_table
from matcg.errors import DataError
from matcg.images import (
    ImageError,
    as_shown,
    decode,
    fingerprint,
    fit,
    pixel_digest,
    pixel_values,
    size_shown,
)

# What counts, sizes and offsets break at.
NUMBERS = (0, 1, 2, 3, 7, 8, 16, 127, 128, 255, 256, 4096, 65535, 2**31 - 1, 2**31, 2**32 - 1)


# Cases of `changed` in which something else than a reason came out once, by their numbers.
ONCE = (26744,)


def pictures() -> list[bytes]:
    """Return a small valid file of every format, and of TIFF one of each way to write it."""
    grey, colours = SCENE[::4, ::4], COLOURS[::4, ::4]
    plain = Image.fromarray(typed(colours, "u1"))
    found = [saved(plain, form) for form in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM")]
    found += [saved(plain.convert(mode), "PNG") for mode in ("1", "P", "LA")]
    for kind in ("bool", "u1", "i1", "u2", "u4", "f2", "f4", "f8"):
        found += [tiff(typed(grey, kind)), tiff(typed(colours, kind), photometric="rgb")]
    for compression in ("lzw", "zlib", "packbits", "zstd", "lzma", "jpeg"):
        kind = "u1" if compression == "jpeg" else "u2"
        found.append(tiff(typed(colours, kind), compression=compression, photometric="rgb"))
        found.append(tiff(typed(grey, kind), compression=compression, tile=(16, 16)))
    separate = np.ascontiguousarray(np.moveaxis(typed(colours, "u2"), 2, 0))
    found.append(tiff(separate, planarconfig="separate", photometric="rgb", bigtiff=True))
    found.append(tiff(typed(grey, "u2", 12), bitspersample=12, byteorder=">"))
    found.append(tiff(typed(grey, "f4"), compression="zlib", predictor=True))
    palette = np.stack([np.arange(256, dtype="u2") * 257] * 3)
    how = {"photometric": "palette", "colormap": palette, "compression": "packbits"}
    found.append(tiff(typed(grey, "u1"), **how))
    found.append(tiff(typed(np.dstack([colours, grey]), "u2"), photometric="separated"))
    found += [imagecodecs.png_encode(typed(colours, "u2")), saved(plain, "JPEG2000")]
    found += [imagecodecs.jpeg2k_encode(typed(scene, "u2")) for scene in (grey, colours)]
    found.append(imagecodecs.jpeg8_encode(typed(colours, "u2", 12), bitspersample=12))
    size = grey.shape[::-1]
    found.append(b"P6 %d %d 4095\n" % size + typed(colours, "u2", 12).astype(">u2").tobytes())
    found.append(b"PF\n%d %d\n-1\n" % size + colours.astype("<f4").tobytes())
    return found


def places(data: bytes) -> list[int]:
    """Return where the structure of a file stands: a TIFF's tags, else its first bytes."""
    if data[:4] in (b"II*\0", b"MM\0*"):
        order = "<" if data[:2] == b"II" else ">"
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (n,) = struct.unpack_from(f"{order}H", data, start)
        return [start + 2 + 12 * at + part for at in range(n) for part in (0, 2, 4, 8, 8)]
    return list(range(2, min(len(data) - 8, 300)))


def changed(data: bytes, chance: random.Random) -> bytes:
    """Return a file with some of its structure changed, sealed again where it is a PNG."""
    held, at = bytearray(data), places(data)
    for _ in range(chance.randint(1, 4)):
        where, order = chance.choice(at), chance.choice("<>")
        match chance.choices(("number", "copy", "cut", "move", "repeat"), (8, 2, 1, 1, 1))[0]:
            case "number":
                width = chance.choice("BHHI")
                top = 256 ** struct.calcsize(width)
                value = chance.choice((*NUMBERS, chance.randrange(top))) % top
                if where + 4 < len(held):
                    struct.pack_into(order + width, held, where, value)
            case "copy":  # of another place's twelve bytes, as long as a tag
                other = chance.choice(at)
                held[where : where + 12] = held[other : other + 12]
            case "cut":
                del held[chance.randrange(len(held) // 2, len(held)) :]
            case "move":
                del held[where : where + chance.choice((1, 2, 12))]
            case _:
                held[where:where] = held[where : where + chance.choice((1, 2, 12, 64))]
        if len(held) < 16:
            break
    if data.startswith(b"\x89PNG") and len(held) > 33:
        struct.pack_into(">I", held, 29, zlib.crc32(held[12:29]))
    return bytes(held)


def look(data: bytes, path: Path) -> str:
    """Read a picture in every way, and return what became of it: "shown", or the error's kind."""
    path.write_bytes(data)
    with suppress(ImageError):
        pixel_values(data, "x")
    try:
        image = decode(data, "x")
        assert size_shown(path, "x") == image.size
        for geometry in ("squash", "pad", "crop"):
            pixel_digest(fit(image, 8, geometry))
        kept = as_shown(data, "x")
        fingerprint(kept, "x")
        assert decode(kept, "x").size == image.size
    except ImageError as error:
        return error.kind
    return "shown"


def rows() -> list[dict[str, Any]]:
    """Return valid rows of a release."""
    return [row(number) for number in range(6)]


ODD = (None, "", " ", 0, -1, 1.5, True, [], {}, ["A"], {"a": 1}, "\ud800", "A", "A: x", "x" * 999)
TEXTS = ("\n", "A:", "B:", "C - no", "c: no", "\u2028", ":", ".", "(A)", "\0", "\uff1a", "Z: z")


def changed_rows(chance: random.Random, lines: bool = False) -> bytes:
    """Return a file of rows, or of lines, of which some have other keys, types or texts."""
    made: list[Any] = copy.deepcopy(rows())
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(made))
        one = made[at]
        if not isinstance(one, dict) or not one:
            continue
        key = chance.choice(list(one))
        match chance.randrange(6):
            case 0:
                one[key] = copy.deepcopy(chance.choice(ODD))
            case 1:
                del one[key]
            case 2:
                made[at] = copy.deepcopy(chance.choice((*ODD, [one], {"row": one})))
            case 3:
                one[chance.choice((*one, "other"))] = one[key]
            case _ if isinstance(one[key], str):
                where = chance.randint(0, len(one[key]))
                cut = one[key][where + chance.choice((0, 0, 1, 5)) :]
                one[key] = one[key][:where] + chance.choice(TEXTS) + cut
    text = "\n".join(map(json.dumps, made)) if lines else json.dumps(made)
    if chance.random() < 0.2:
        where = chance.randrange(len(text))
        text = text[:where] + chance.choice(("", "[", "}", '"', ",", "{")) + text[where + 1 :]
    return text.encode()


def read_rows(data: bytes, path: Path) -> str:
    """Read a file of rows, and return what became of it: how many rows, or "refused".

    A file of lines is read with the source's own split.
    """
    path.write_bytes(data)
    split = {"split_by": {"column": "caption", "train": "cat", "test": "dog"}}
    try:
        options = Options.parse(split if path.suffix == ".jsonl" else {})
        table = read_table(path, path.name, "30", options)
    except DataError:
        return "refused"
    for asked, answer, label in zip(table.asked, table.answer, table.label, strict=True):
        options = table.choices[asked]
        assert 2 <= len(options) <= 26
        assert 0 <= answer < len(options)
        assert table.labels[label]
    assert all(each.reason and each.row for _, each in table.bad)
    return f"{table.rows} rows"
