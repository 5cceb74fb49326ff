"""Where real images in the Med-MAT release layout may lie; they are no part of this repository."""

from pathlib import Path

import pytest

REALMAT = Path(__file__).parents[2] / "shared" / "realmat"
needs_realmat = pytest.mark.skipif(
    not REALMAT.is_dir(),
    reason="no real images: ../shared/realmat, relative to the repository, does not exist",
)
