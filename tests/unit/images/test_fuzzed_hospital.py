"""Whatever a DICOM or NIfTI file holds, it is shown or refused with a reason, and tells no name."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from images import hospital as made
from images.scenes import COLOURS, SCENE, typed
from images.test_dicom import EXACT, palette
from matcg.errors import MatcgError
from matcg.images.dicom import read_frame, read_header
from matcg.images.nifti import Cut, count_slices, read_slice

NUMBERS = (0, 1, 2, 3, 8, 12, 16, 32, 127, 255, 256, 4096, 32767, 32768, 65535)


def files() -> list[bytes]:
    """Return a small valid file of every transfer syntax and of every transformation."""
    grey = typed(SCENE[::4, ::4], "u2", 12)
    rgb = np.ascontiguousarray(typed(COLOURS[::4, ::4], "u1"))
    how = {"BitsStored": 12, "RescaleSlope": 2, "WindowCenter": 900, "WindowWidth": 500}
    found = [made.dicom([grey, grey], syntax, encode, **how) for syntax, encode in EXACT.items()]
    found += [made.dicom(rgb, syntax, EXACT[syntax]) for syntax in (made.LITTLE, made.RLE)]
    found.append(made.dicom((rgb[..., 0] // 4).astype("u1"), **palette(64, 0, 8)))
    return found


DICOM = files()
VOLUMES = [
    made.nifti(np.arange(120).reshape(4, 5, 6).astype(kind), packed=False) for kind in ("i2", "f4")
]


def changed(data: bytes, chance: random.Random, start: int, end: int) -> bytes:
    """Return a file of which some bytes, counts or its end are others."""
    held = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(start, min(end, len(held) - 4))
        kind = chance.randrange(3)
        if kind == 0:
            held[at] = chance.randrange(256)
        elif kind == 1:
            held[at : at + 2] = chance.choice(NUMBERS).to_bytes(2, "little")
        else:
            held[at : at + 4] = chance.randbytes(4)
    return bytes(held[: chance.randrange(start, len(held))] if chance.random() < 0.1 else held)


def looked(look: Callable[[], object]) -> str:
    try:
        look()
    except MatcgError as error:
        return str(error)
    return ""


def test_the_seeds_are_read(tmp_path: Path) -> None:
    for data in DICOM:
        read_frame(data, 1, "x").image()
    for data in VOLUMES:
        (tmp_path / "x.nii").write_bytes(data)
        read_slice(tmp_path / "x.nii", 2, Cut(), "x").image()


@settings(max_examples=600, deadline=None)
@given(st.integers(0, 2**32))
def test_dicom_of_changed_structure_is_shown_or_refused(tmp_path_factory, seed):
    chance = random.Random(seed)
    data = chance.choice(DICOM)
    data = changed(data, chance, 132, len(data))
    path = tmp_path_factory.getbasetemp() / "fuzzed.dcm"
    path.write_bytes(data)
    said = looked(lambda: read_header(path, "x"))
    said += looked(lambda: read_frame(data, chance.choice((1, 2)), "x").image())
    assert not [name for name in ("DOE", "MRN", "ACC-", "4711") if name in said]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_volumes_of_changed_structure_are_shown_or_refused(tmp_path_factory, seed):
    chance = random.Random(seed)
    path = tmp_path_factory.getbasetemp() / "fuzzed.nii"
    path.write_bytes(changed(chance.choice(VOLUMES), chance, 0, 352))
    cut = Cut(chance.choice(("axial", "coronal", "sagittal")), chance.random() < 0.5)
    looked(lambda: count_slices(path, cut, "x"))
    looked(lambda: read_slice(path, 2, cut, "x").image())
