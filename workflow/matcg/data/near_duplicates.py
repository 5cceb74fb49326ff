"""Pictures that are nearly the same: pairs of perceptual hashes that differ in few bits.

Every pair is looked at, in tiles that stay in the processor's cache, so nothing is missed and the
time grows with the product of both numbers (docs/benchmarks.md).
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from matcg.images import BITS

Hashes = npt.NDArray[np.uint64]
NearPair = tuple[int, int, int]

_WORDS = BITS // 64
ROWS, COLUMNS = 32, 2048


def hashes(fingerprints: Iterable[str]) -> Hashes:
    """Return fingerprints as an array of shape (n, _WORDS)."""
    data = bytes.fromhex("".join(fingerprints))
    return np.frombuffer(data, dtype=np.uint64).reshape(-1, _WORDS)


def distances(one: Hashes, many: Hashes) -> npt.NDArray[np.int64]:
    """Return in how many bits one hash, of shape (_WORDS,), differs from each of many."""
    bits: npt.NDArray[np.int64] = np.bitwise_count(many ^ one).sum(axis=1, dtype=np.int64)
    return bits


def near_pairs(tests: Hashes, trained: Hashes, distance: int) -> Iterator[NearPair]:
    """Yield (i, j, bits) of all pairs of test i and training hash j that differ in few bits.

    `distance` is the most bits, below 64.
    """
    rows, columns = np.ascontiguousarray(tests.T), np.ascontiguousarray(trained.T)
    for top in range(0, len(tests), ROWS):
        for left in range(0, len(trained), COLUMNS):
            tile = rows[:, top : top + ROWS, None], columns[:, None, left : left + COLUMNS]
            yield from _in_tile(*tile, distance, (top, left))


def _in_tile(
    rows: Hashes, columns: Hashes, distance: int, corner: tuple[int, int]
) -> Iterator[NearPair]:
    """Yield the pairs in one tile; most tiles have none, as half of the bits already tell."""
    half = _WORDS // 2
    bits = np.bitwise_count(rows[:half] ^ columns[:half]).sum(axis=0, dtype=np.uint8)
    if bits.min() > distance:
        return
    for i, j in zip(*np.nonzero(bits <= distance), strict=True):
        found = int(np.bitwise_count(rows[:, i, 0] ^ columns[:, 0, j]).sum())
        if found <= distance:
            yield corner[0] + int(i), corner[1] + int(j), found
