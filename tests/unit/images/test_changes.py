"""Pictures that are turned, blurred, noisy and flat: what is made of them, and of which none is."""

import io

import numpy as np
import pytest
from PIL import Image

from matcg.images import ImageError
from matcg.images.changes import EDGE, changed, require_contrast


def png(values: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.array(values, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


STRIPES = np.tile(np.repeat([40, 200], 8), (96, 6))


@pytest.mark.parametrize("colours", [False, True])
def test_quarter_turns_go_clockwise_and_lose_nothing(colours: bool) -> None:
    values = np.random.default_rng(1).integers(0, 256, (3, 5, 3) if colours else (3, 5))
    for number in range(4):
        found = pixels(changed(png(values), "x", "orientation", number, 0))
        assert (found == np.rot90(values, -number)).all()


def test_each_fault_does_what_it_is_called() -> None:
    kept, blurred, noisy, flat = (
        pixels(changed(png(STRIPES), "x", "quality", number, 5)).astype(int) for number in range(4)
    )
    assert (kept == STRIPES).all()
    assert np.abs(np.diff(blurred, axis=1)).max() < np.abs(np.diff(kept, axis=1)).max() / 2
    assert 20 < (noisy - kept)[(noisy > 0) & (noisy < 255)].std() < 60
    assert np.ptp(flat) < np.ptp(kept) / 2
    assert abs(flat.mean() - kept.mean()) < 2


def test_noise_depends_on_its_seed_alone_and_is_the_same_in_all_colours() -> None:
    data = png(np.stack([STRIPES, STRIPES // 2, STRIPES], axis=2))
    one, again, other = (changed(data, "x", "quality", 2, seed) for seed in (1, 1, 2))
    assert one == again != other
    added = pixels(one).astype(int) - pixels(data)
    whole = (pixels(one) > 0).all(axis=2) & (pixels(one) < 255).all(axis=2)
    assert whole.any()
    assert (np.ptp(added[whole], axis=1) == 0).all()


def test_large_pictures_are_bounded_and_grains_grow_with_them() -> None:
    large = png(np.tile(STRIPES, (8, 16)))
    found = pixels(changed(large, "x", "quality", 2, 1))
    assert max(found.shape) == EDGE
    small = pixels(changed(png(np.full((64, 64), 128)), "x", "quality", 2, 1))
    big = pixels(changed(png(np.full((512, 512), 128)), "x", "quality", 2, 1))
    assert (big[:4, :4] == big[0, 0]).all()
    assert len(np.unique(small[:4, :4])) > 1


def test_a_picture_in_which_nothing_is_seen_is_refused() -> None:
    require_contrast(png(STRIPES), "x")
    for values in (np.full((20, 20), 90), 100 + STRIPES // 10):
        with pytest.raises(ImageError, match="no change of it could be seen"):
            require_contrast(png(values), "x")
