"""NIfTI volumes: whichever way one is stored, its slices look the same, and within bounds."""

import gzip
import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from images import hospital as made
from matcg.images import ImageError, nifti
from matcg.images.nifti import AXES, Cut, count_slices, read_slice

# To the right, to the front, up: no two of a size, and no symmetry.
VOLUME = (np.arange(5 * 6 * 7).reshape(5, 6, 7) * 37 % 211).astype("i2")


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def wanted(axis: str, number: int) -> Any:
    """Return a slice as radiologists see it, by its definition."""
    right, front, up = VOLUME.shape
    at = number - 1
    if axis == "axial":
        return np.array(
            [[VOLUME[x, y, at] for x in range(right)[::-1]] for y in range(front)[::-1]]
        )
    if axis == "coronal":
        return np.array([[VOLUME[x, at, z] for x in range(right)[::-1]] for z in range(up)[::-1]])
    return np.array([[VOLUME[at, y, z] for y in range(front)[::-1]] for z in range(up)[::-1]])


WAYS = [
    (axes, ways)
    for axes in itertools.permutations(range(3))
    for ways in itertools.product((1, -1), repeat=3)
]


@pytest.mark.parametrize(("axes", "ways"), WAYS)
def test_however_its_axes_lie_a_volume_has_the_same_slices(
    axes: tuple[int, ...], ways: tuple[int, ...], tmp_path: Path
) -> None:
    turns = np.array(list(zip(axes, ways, strict=True)))
    plain = nibabel.Nifti1Image(VOLUME, np.diag([1, 2, 3, 1]))
    stored = plain.as_reoriented(turns)
    packed = sum(axes[:2]) % 2 == 0
    data = made.nifti(np.asarray(stored.dataobj), stored.affine, packed)
    path = written(tmp_path / "x.nii", data)
    for axis in AXES:
        cut = Cut(axis)
        slices, width, height = count_slices(path, cut, "x")
        assert slices == VOLUME.shape[AXES.index(axis)]
        for number in (1, 2, slices):
            shown = read_slice(path, number, cut, "x").values
            assert np.array_equal(shown, wanted(axis, number))
            assert shown.shape == (height, width)


def test_an_oblique_volume_takes_the_nearest_way(tmp_path: Path) -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    affine = np.eye(4)
    affine[:2, :2] = [[c, -s], [s, c]]
    path = written(tmp_path / "x.nii.gz", made.nifti(VOLUME, affine))
    assert np.array_equal(read_slice(path, 3, Cut(), "x").values, wanted("axial", 3))


def test_what_says_nothing_of_its_axes_is_refused_unless_taken_as_stored(tmp_path: Path) -> None:
    path = written(tmp_path / "x.nii.gz", made.nifti(VOLUME, sform_code=0, qform_code=0))
    with pytest.raises(ImageError, match=r"does not say which way it lies; option slices: \{ori"):
        count_slices(path, Cut(), "x")
    assert np.array_equal(read_slice(path, 3, Cut(stored=True), "x").values, wanted("axial", 3))


def test_slices_share_the_window_of_their_volume(tmp_path: Path) -> None:
    held = np.zeros((20, 20, 4), "i2")
    for at in range(4):
        held[..., at] = np.arange(400).reshape(20, 20) * (at + 1)
    held[3, 3, 1] = 30000  # a hot voxel
    path = written(tmp_path / "x.nii.gz", made.nifti(held))
    shown = [np.asarray(read_slice(path, n, Cut(), "x").image()) for n in (1, 4)]
    assert shown[0].max() == pytest.approx(shown[1].max() / 4, abs=1)
    assert shown[1].max() == 255
    given = np.asarray(read_slice(path, 1, Cut(), "x", (0, 399)).image())
    assert given.max() == 255


def test_voxels_are_rescaled_and_what_is_no_number_is_black(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOLUME, np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    path = written(tmp_path / "x.nii", image.to_bytes())
    assert np.allclose(read_slice(path, 2, Cut(), "x").values, wanted("axial", 2) / 2 - 3)
    held = VOLUME.astype("f4")
    held[0, 0, 0] = np.nan
    path = written(tmp_path / "y.nii", made.nifti(held, packed=False))
    assert np.asarray(read_slice(path, 1, Cut(), "x").image())[-1, -1] == 0


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("format_", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_types_and_orders_of_bytes_give_the_same(
    kind: str, order: str, format_: Any, tmp_path: Path
) -> None:
    held = (VOLUME % 100).astype(kind)
    header = format_.header_class(endianness=order)
    header.set_data_dtype(held.dtype)
    data = format_(held, np.eye(4), header).to_bytes()
    path = written(tmp_path / "x.nii", data)
    assert np.array_equal(read_slice(path, 4, Cut(), "x").values, wanted("axial", 4) % 100)


SPOILT = [
    "slope",
    "times",
    "flat",
    "complex",
    "rgb",
    "short",
    "packed",
    "broken",
    "axes",
    "pair",
    "text",
]


def spoilt(name: str) -> tuple[bytes, str]:
    whole = made.nifti(VOLUME, packed=False)
    head = nibabel.Nifti1Image.from_bytes(whole).header
    if name == "slope":
        at = head.structarr.dtype.fields["scl_slope"][1]
        return whole[:at] + np.float32(1).tobytes() + np.float32(np.nan).tobytes() + whole[
            at + 8 :
        ], "scl_slope or scl_inter is no number"
    if name == "times":
        return made.nifti(np.stack([VOLUME] * 2, axis=-1)), "NIfTI of 2 volumes"
    if name == "flat":
        return made.nifti(VOLUME[..., 0]), "2 dimensions, not three"
    if name == "complex":
        return made.nifti(VOLUME.astype("c8")), "colours, complex numbers"
    if name == "rgb":
        rgb = np.zeros(VOLUME.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
        return made.nifti(rgb), "colours, complex numbers"
    if name == "short":
        return whole[:-10], "cut short"
    if name == "packed":
        return gzip.compress(whole[:-10]), "cut short"
    if name == "broken":
        return gzip.compress(whole)[:60], "image damaged|not an image"
    if name == "axes":
        at = head.structarr.dtype.fields["srow_z"][1]
        return whole[:at] + bytes(16) + whole[at + 16 :], "axes lie nowhere"
    if name == "pair":
        return whole.replace(b"n+1\0", b"ni1\0"), "no NIfTI file of one part"
    return b"not a volume" * 100, "no NIfTI file"


@pytest.mark.parametrize("name", SPOILT)
def test_what_cannot_be_read_faithfully_is_refused_with_its_reason(
    name: str, tmp_path: Path
) -> None:
    data, reason = spoilt(name)
    with pytest.raises(ImageError, match=reason):
        read_slice(written(tmp_path / "x.nii", data), 1, Cut(), "x")


@pytest.mark.parametrize("number", [0, 8])
def test_a_slice_that_is_not_there_is_named(number: int, tmp_path: Path) -> None:
    path = written(tmp_path / "x.nii.gz", made.nifti(VOLUME))
    with pytest.raises(ImageError, match="slice missing: the volume has 7 along this axis"):
        read_slice(path, number, Cut(), "x")


def test_no_more_is_unpacked_than_the_header_says_and_the_bound_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = made.nifti(VOLUME, packed=False) + bytes(300_000_000)
    path = written(tmp_path / "x.nii.gz", gzip.compress(bomb, 1))
    unpacked: list[int] = []
    first = nifti._first
    monkeypatch.setattr(
        nifti, "_first", lambda path, n: unpacked.append(len(held := first(path, n))) or held
    )
    assert np.array_equal(read_slice(path, 3, Cut(), "x").values, wanted("axial", 3))
    assert max(unpacked) <= 4096
    large = made.nifti(np.zeros((300, 300, 300), "f8"))
    monkeypatch.setattr(nifti, "MAX_BYTES", 100_000_000)
    unpacked.clear()
    with pytest.raises(ImageError, match="image too large: the volume exceeds 100000000 bytes"):
        read_slice(written(tmp_path / "y.nii.gz", large), 3, Cut(), "x")
    assert max(unpacked) <= 4096


def test_no_reason_says_what_stands_in_the_header(tmp_path: Path) -> None:
    data = made.nifti(VOLUME, packed=False, descrip=b"DOE^JOHN", db_name=b"MRN-4711")
    for odd in (data[:400], data.replace(b"DOE^JOHN", b"DOE^JOHN" * 2)[:-8], data[:300]):
        with pytest.raises(ImageError) as error:
            read_slice(written(tmp_path / "x.nii", odd), 1, Cut(), "x")
        assert "DOE" not in str(error.value)
        assert "MRN" not in str(error.value)
