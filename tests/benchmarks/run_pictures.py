"""Measures what making pictures ready for training takes, and what keeping them would save.

`python tests/benchmarks/run_pictures.py [--count 64] [--size 336]`

Smoothed noise as PNG and JPEG of several sizes, on one core: decoded and brought to the backbone's
square (`matcg.images`), made into a model's input by CLIP's processor, and, in place of the first,
read from a file of raw pixels as a cache on disk would have them. Prints milliseconds a picture,
the median of three rounds.
"""

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow"))

from matcg.images import decode, fit

EDGES = (224, 512, 1024, 2048)
ROUNDS = 3


def main() -> None:
    """Measure and print a Markdown table."""
    import torch
    from transformers import CLIPImageProcessor

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--size", type=int, default=336)
    told = parser.parse_args()
    squares = []
    print("| what | ms a picture |\n|---|---|")
    for kind in ("PNG", "JPEG"):
        for edge in EDGES:
            files = [
                encoded(edge, kind, seed)
                for seed in range(min(told.count, 4_000_000 // edge**2 + 4))
            ]
            took = timed(lambda files=files: [ready(file, told.size) for file in files], len(files))
            print(f"| decoded and resized, {kind} of {edge} x {edge} | {took:.2f} |")
            squares = squares or [ready(file, told.size) for file in files]
    processor = CLIPImageProcessor(
        size={"shortest_edge": told.size}, crop_size={"height": told.size, "width": told.size}
    )
    eights = [squares[start : start + 8] for start in range(0, len(squares), 8)]
    took = timed(
        lambda: [processor(images=eight, return_tensors="pt") for eight in eights], len(squares)
    )
    print(f"| made into input, eight at a time | {took:.2f} |")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pixels.npy"
        np.save(file, np.stack([np.asarray(square) for square in squares]))
        print(f"| read from a file of raw pixels | {timed(lambda: kept(file), len(squares)):.2f} |")


def encoded(edge: int, kind: str, seed: int) -> bytes:
    """Return a picture about as hard to compress as a radiograph."""
    noise = np.random.default_rng(seed).integers(0, 256, (edge, edge, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(edge / 100))
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def ready(file: bytes, size: int) -> Image.Image:
    """Return a picture as a backbone sees it."""
    return fit(decode(file, "picture"), size, "pad")


def kept(file: Path) -> list[Image.Image]:
    """Return all pictures of a file of raw pixels."""
    pixels = np.load(file, mmap_mode="r")
    return [Image.fromarray(np.array(each)) for each in pixels]


def timed(work: Callable[[], object], count: int) -> float:
    """Return the milliseconds that one of `count` pictures takes."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        rounds.append((time.perf_counter() - start) / count * 1000)
    return statistics.median(rounds)


if __name__ == "__main__":
    main()
