"""No outlier takes the grey levels of the rest, and a window that is named is kept to."""

import numpy as np
import pytest

from images.scenes import COLOURS, REAL, SCENE, difference, tiff, typed
from matcg.images import as_shown, decode, fingerprint
from matcg.images.windows import find_window

EXTREME = {"f2": 6e4, "f4": 3.4e38, "f8": 1.7e308}


def shown(values, **how):
    return np.asarray(decode(tiff(values, **how), "x")).astype(int)


def spoiled(values, rest, share):
    """Return values of which a share is something else, and the marks of the others."""
    marks = np.ones(values.shape[:2], dtype=bool)
    if share < 0.01:
        marks[len(marks) // 2, 5] = False  # where the scene is neither darkest nor brightest
    else:
        marks[: round(share * len(marks))] = False
    values = values.copy()
    values[~marks] = rest
    return values, marks


def narrow(scene, kind):
    """Return a scene in the middle tenth of a type's range, in which -1 and 2 are far outside."""
    if np.dtype(kind).kind == "f":
        return (1000 + 100 * scene).astype(kind)
    known = np.iinfo(kind)
    middle, width = known.max // 2 + known.min // 2, known.max // 10 - known.min // 10
    return np.rint(scene * float(width) + float(middle)).astype(kind)


@pytest.mark.parametrize("scene", [SCENE, COLOURS], ids=["grey", "RGB"])
@pytest.mark.parametrize("kind", [k for k in REAL if k not in ("bool", "u1", "i1", "u8", "i8")])
def test_no_single_value_takes_the_grey_levels_of_the_rest(kind, scene):
    values = narrow(scene, kind)
    wanted = shown(values)
    extreme = EXTREME.get(kind)
    rests = [np.nan, np.inf, -np.inf] if extreme else []
    rests += [-extreme, extreme] if extreme else [np.iinfo(kind).min, np.iinfo(kind).max]
    for rest in rests:
        for share in (0.001, 0.3):
            found, marks = spoiled(values, rest, share)
            off = np.abs(shown(found) - wanted)[marks]
            # A third of the scene may hold its darkest or brightest pixels.
            levels = np.unique(wanted[marks])
            assert off.max() <= 1 or share > 0.1, (rest, share)
            assert len(np.unique(shown(found)[marks])) >= 0.9 * len(levels), (rest, share)
            assert (shown(found)[~marks] == (255 if rest > 0 and np.isfinite(rest) else 0)).all()


def test_padding_and_a_hot_pixel_together_take_none_either():
    values, padded = spoiled(narrow(SCENE, "i2"), -32768, 0.4)
    values[-1, -3] = 32767
    padded[-1, -3] = False
    alone = narrow(SCENE, "i2")[padded]
    wanted = np.rint((alone - alone.min()) / np.ptp(alone.astype(int)) * 255)
    assert np.abs(shown(values)[padded][:, 0] - wanted).max() <= 1


def test_a_value_that_a_tiff_says_is_none_is_black_and_takes_no_level():
    values, marks = spoiled(narrow(SCENE, "f4"), 1200, 0.001)
    found = shown(values, extratags=[(42113, "s", 0, "1200", True)])
    assert np.abs(found - shown(narrow(SCENE, "f4")))[marks].max() <= 1
    assert (found[~marks] == 0).all()


def test_a_drawing_of_few_values_keeps_its_ground():
    values = np.zeros((20, 20), "u2")
    values[5:9, 5:9], values[12:15, 3:6], values[1, 1] = 30000, 40000, 50000
    assert np.unique(shown(values)).tolist() == [0, 153, 204, 255]


def test_order_is_kept_whatever_the_values():
    rng = np.random.default_rng(0)
    for scale in (1, 1e3, 1e30):
        values = (rng.standard_cauchy((30, 30)) * scale).astype("f4")
        order = np.argsort(values.ravel())
        assert (np.diff(shown(values)[..., 0].ravel()[order]) >= 0).all()


def test_colours_of_twelve_bits_are_as_bright_as_grey_of_twelve():
    grey = shown(typed(SCENE, "u2", 12))
    assert (shown(np.stack([typed(SCENE, "u2", 12)] * 3, -1)) == grey).all()
    assert grey.max() == 255


def test_a_window_that_is_named_says_what_is_black_and_white():
    values = np.linspace(-1000, 3000, 41, dtype="i2")[None].repeat(4, axis=0)
    data = as_shown(tiff(values), "x", (-160, 240))
    levels = np.asarray(decode(data, "x"))[0, :, 0].astype(int)
    assert (
        levels.tolist()
        == np.floor(np.clip((values[0].astype(float) + 160) / 400, 0, 1) * 255 + 0.5)
        .astype(int)
        .tolist()
    )
    assert as_shown(data, "x", (0, 1)) == data


def test_a_picture_of_one_value_or_none_is_black():
    for value in (0, 7, np.nan, np.inf):
        assert not shown(np.full((4, 5), value, "f4")).any()


def test_the_window_does_not_depend_on_the_size_of_a_picture():
    small = typed(SCENE, "f4") * 100
    large = np.kron(small, np.ones((30, 30), "f4"))
    small[0, 0] = large[0, 0] = 1e6
    assert find_window(small)[1] == find_window(large)[1] == 100


def test_one_picture_has_one_fingerprint_in_any_type_of_samples():
    plain = fingerprint(tiff(typed(SCENE, "u1")), "x")
    for kind in ("u2", "f4", "i8"):
        other = fingerprint(tiff(typed(SCENE, kind)), "x")
        assert (int(plain, 16) ^ int(other, 16)).bit_count() <= 4


@pytest.mark.parametrize("kind", ["i1", "u4", "i8", "u8"])
def test_no_type_of_whole_numbers_wraps_round(kind):
    assert difference(tiff(typed(SCENE, kind)), SCENE) <= 1
