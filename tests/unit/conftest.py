"""Settings and a tiny untrained backbone that all unit tests share."""

import gc

import pytest
from hypothesis import settings

from untrained import tiny, tokenizer

__all__ = ["frozen", "tiny", "tokenizer"]

# No deadline, since busy machines are slow; no database, since a failure must not depend on it.
settings.register_profile("matcg", deadline=None, database=None, derandomize=True)
settings.load_profile("matcg")


@pytest.fixture(scope="module", autouse=True)
def frozen() -> None:
    """Take what earlier modules hold from Python's collector.

    statsmodels calls it whenever it corrects p values: with torch imported half a second each time.
    """
    gc.freeze()
