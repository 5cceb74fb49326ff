"""Near pairs are all that differ in few bits, and fingerprints tell copies from other pictures."""

import io
import random

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from data_makers import picture
from matcg.data.near_duplicates import COLUMNS, ROWS, distances, hashes, near_pairs
from matcg.images import BITS, ImageError, fingerprint

DIGITS = BITS // 4


def numbers(texts: list[str]) -> list[int]:
    return [int(text, 16) for text in texts]


def flipped(text: str, bits: list[int]) -> str:
    number = int(text, 16)
    for bit in bits:
        number ^= 1 << bit
    return f"{number:0{DIGITS}x}"


@given(st.integers(0, 5000), st.integers(0, 63), st.integers(1, 70), st.integers(1, 5000))
def test_pairs_are_those_of_looking_at_each(seed, distance, n_tests, n_trained):
    chance = random.Random(seed)
    once = [f"{chance.getrandbits(BITS):0{DIGITS}x}" for _ in range(min(n_trained, 300))]
    trained = once * 3
    tests = [flipped(chance.choice(trained), chance.sample(range(BITS), chance.randrange(90)))
             for _ in range(n_tests)]  # fmt: skip
    others = numbers(once)
    expected = {
        (i, at, bits)
        for i, one in enumerate(numbers(tests))
        for j, other in enumerate(others)
        if (bits := (one ^ other).bit_count()) <= distance
        for at in range(j, len(trained), len(once))
    }
    found = list(near_pairs(hashes(tests), hashes(trained), distance))
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_pairs_are_found_across_tiles():
    chance = random.Random(0)
    trained = [f"{chance.getrandbits(BITS):0{DIGITS}x}" for _ in range(5000)]
    tests = [trained[at] for at in range(0, 5000, 50)]
    found = list(near_pairs(hashes(tests), hashes(trained), 24))
    assert found == [(i, 50 * i, 0) for i in range(100)]


@pytest.mark.parametrize(("n_tests", "n_trained"), [(1, COLUMNS + 1), (ROWS + 1, 1)])
def test_a_last_tile_of_one_picture_is_looked_at(n_tests, n_trained):
    chance = random.Random(0)
    tests, trained = (
        [f"{chance.getrandbits(BITS):0{DIGITS}x}" for _ in range(n)] for n in (n_tests, n_trained)
    )
    tests[-1] = trained[-1]
    found = list(near_pairs(hashes(tests), hashes(trained), 24))
    assert found == [(n_tests - 1, n_trained - 1, 0)]


def test_opposite_hashes_are_no_pair():
    """All bits differ: their number must not be counted round to nought."""
    zero, one = hashes(["0" * DIGITS]), hashes(["f" * DIGITS])
    assert distances(zero[0], one).tolist() == [BITS]
    assert list(near_pairs(zero, one, 24)) == []


def test_nothing_is_near_nothing():
    assert list(near_pairs(hashes([]), hashes(["0" * DIGITS]), 24)) == []
    assert list(near_pairs(hashes(["0" * DIGITS]), hashes([]), 24)) == []


def scan(seed: int, size: int = 300) -> Image.Image:
    """Return a picture with the smooth shapes and the noise of a scan."""
    chance = np.random.default_rng(seed)
    shapes = Image.fromarray(chance.integers(0, 255, (20, 20), dtype=np.uint8))
    smooth = np.asarray(shapes.resize((size, size), Image.Resampling.BICUBIC), dtype=float)
    noisy = smooth + chance.normal(0, 5, smooth.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, form: str = "PNG", **settings: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **settings)
    return buffer.getvalue()


def bits(one: bytes, other: bytes) -> int:
    first, second = (hashes([fingerprint(data, "x")]) for data in (one, other))
    return int(distances(first[0], second)[0])


COPIES = {
    "as RGB": lambda image: saved(image.convert("RGB")),
    "as BMP": lambda image: saved(image, "BMP"),
    "JPEG": lambda image: saved(image, "JPEG", quality=80),
    "half": lambda image: saved(image.resize((150, 150), Image.Resampling.BICUBIC)),
    "larger JPEG": lambda image: saved(image.resize((1100, 1100)), "JPEG", quality=90),
    "brighter": lambda image: saved(ImageEnhance.Brightness(image).enhance(1.1)),
    "less contrast": lambda image: saved(ImageEnhance.Contrast(image).enhance(0.8)),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_near_and_other_pictures_far(name):
    for seed in range(5):
        image = scan(seed)
        assert bits(saved(image), COPIES[name](image)) <= 24
        assert bits(saved(scan(seed + 100)), COPIES[name](image)) > 60


def test_equal_pixels_have_equal_fingerprints():
    assert bits(picture(3), picture(3, "BMP")) == 0


def test_fingerprints_are_those_of_imagehash():
    """Flat and symmetrical pictures have many frequencies that are nothing but rounding."""
    chance = np.random.default_rng(0)
    stripes = np.tile(np.uint8([[0, 255], [255, 0]]), (14, 14))
    arrays = [stripes, stripes[:, :1].repeat(28, 1), np.full((64, 64), 77, np.uint8)]
    for edge in (1, 9, 28, 63, 64, 65, 130):
        noise = chance.integers(0, 256, (edge, edge), dtype=np.uint8)
        arrays += [noise, noise // 64 * 64, np.maximum(noise, noise[:, ::-1])]
    for array in arrays:
        image = Image.fromarray(array)
        # Of larger ones a smaller picture is made first.
        expected = imagehash.phash(image.reduce(max(1, len(array) // 64)), hash_size=16)
        assert fingerprint(saved(image), "x") == str(expected)


def test_flat_pictures_have_a_fingerprint():
    for shade in (0, 128, 255):
        assert (
            bits(saved(Image.new("L", (50, 40), shade)), saved(Image.new("L", (9, 9), shade))) == 0
        )


@pytest.mark.parametrize("data", [b"", b"<html>", picture(1)[:60], saved(scan(0), "JPEG")[:5000]])
def test_a_damaged_image_has_no_fingerprint(data):
    with pytest.raises(ImageError, match=r"x: (image damaged|not an image)"):
        fingerprint(data, "x")
