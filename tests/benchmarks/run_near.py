"""Measures how well fingerprints tell copies of a picture from other pictures of its kind.

`python tests/benchmarks/run_near.py NAME=FOLDER ...` looks at all images below each folder and
prints two tables for docs/benchmarks.md: in how many bits the hashes of different files differ, and
what share of altered copies the default distance finds. Files that differ little may be copies
themselves: the closest are printed, to be looked at.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from run_default import ROOT

sys.path.insert(0, str(ROOT / "workflow"))

from matcg.config.catalog import Catalog
from matcg.data.near_duplicates import distances, hashes, near_pairs
from matcg.images import fingerprint

DISTANCE = int(Catalog.model_fields["near_duplicates"].default)
STEPS = (0, 8, 16, DISTANCE, 32, 40, 48, 56)


def main() -> None:
    """Print both tables for each folder that is named."""
    print("| images | pairs of files | " + " | ".join(f"<= {step}" for step in STEPS) + " |")
    print("|---" * (len(STEPS) + 2) + "|")
    sets = dict(argument.split("=", 1) for argument in sys.argv[1:])
    read = {name: read_all(Path(folder)) for name, folder in sets.items()}
    closest = {name: others(name, files) for name, files in read.items()}
    print("\n| images | " + " | ".join(COPIES) + " |")
    print("|---" * (len(COPIES) + 1) + "|")
    for name, files in read.items():
        shares = " | ".join(f"{100 * found(files, copy):.1f}" for copy in COPIES.values())
        print(f"| {name} | {shares} |")
    for name, lines in closest.items():
        print(f"\nClosest of {name}:", *lines, sep="\n  ")


def read_all(folder: Path) -> dict[str, bytes]:
    """Return the image files below a folder by their names."""
    kinds = {".png", ".jpg", ".jpeg"}
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.suffix.lower() in kinds}


def others(name: str, files: dict[str, bytes]) -> list[str]:
    """Print how many pairs of different files are within each distance; return the closest."""
    prints = hashes(fingerprint(data, file) for file, data in files.items())
    pairs = sorted((bits, i, j) for i, j, bits in near_pairs(prints, prints, max(STEPS)) if i < j)
    counts = [sum(bits <= step for bits, *_ in pairs) for step in STEPS]
    n = len(files) * (len(files) - 1) // 2
    print(f"| {name} ({len(files)}) | {n} | " + " | ".join(map(str, counts)) + " |")
    names = list(files)
    return [f"{bits}: {names[i]} and {names[j]}" for bits, i, j in pairs if bits <= DISTANCE]


def found(files: dict[str, bytes], copy: Callable[[Image.Image], bytes]) -> float:
    """Return the share of files whose altered copy is within the default distance."""
    bits = []
    for name, data in files.items():
        with Image.open(io.BytesIO(data)) as image:
            pair = hashes(fingerprint(each, name) for each in (data, copy(image)))
        bits.append(int(distances(pair[0], pair[1:])[0]))
    return float(np.mean(np.array(bits) <= DISTANCE))


def saved(image: Image.Image, form: str = "PNG", **settings: int) -> bytes:
    """Return a picture as a file."""
    buffer = io.BytesIO()
    (image.convert("RGB") if form == "JPEG" else image).save(buffer, form, **settings)
    return buffer.getvalue()


def scaled(image: Image.Image, factor: float) -> Image.Image:
    """Return a picture of another size."""
    size = (max(8, round(image.width * factor)), max(8, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "PNG": saved,
    "JPEG 75": lambda image: saved(image, "JPEG", quality=75),
    "half": lambda image: saved(scaled(image, 0.5)),
    "x 1.5": lambda image: saved(scaled(image, 1.5)),
    "x 3, JPEG 90": lambda image: saved(scaled(image, 3), "JPEG", quality=90),
    "brighter by 20 %": lambda image: saved(
        ImageEnhance.Brightness(image.convert("L")).enhance(1.2)
    ),
    "contrast less 20 %": lambda image: saved(
        ImageEnhance.Contrast(image.convert("L")).enhance(0.8)
    ),
    "equalized": lambda image: saved(ImageOps.equalize(image.convert("L"))),
    "2 % cut off": lambda image: saved(
        image.crop(
            (image.width // 50 + 1, image.height // 50 + 1, image.width - 1, image.height - 1)
        )
    ),
    "mirrored": lambda image: saved(ImageOps.mirror(image)),
}


if __name__ == "__main__":
    main()
