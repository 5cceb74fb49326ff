"""Seeds derived from a base seed and the parts that must differ, the same on every machine."""

import hashlib
import json
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def derive(base: int, *parts: str | int) -> int:
    """Return a 63-bit seed for `parts`; leave out the arm where two arms must share a draw."""
    spec = json.dumps([base, *parts], ensure_ascii=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(spec.encode()).digest()[:8], "big") >> 1


def derive_all(base: int, names: Iterable[str]) -> "npt.NDArray[np.int64]":
    """Return `derive(base, name)` of each name, four times as fast: subsets have millions."""
    import numpy as np

    head, hashed = f"[{base},", hashlib.sha256
    digests = [hashed(f"{head}{encode_basestring_ascii(n)}]".encode()).digest() for n in names]
    words = np.frombuffer(b"".join(digests), dtype=">u8").reshape(-1, 4)
    return (words[:, 0] >> 1).astype(np.int64)
