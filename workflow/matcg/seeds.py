"""Seeds derived from a base seed and the parts that must differ, the same on every machine."""

import hashlib
import json

_encode = json.JSONEncoder(separators=(",", ":")).encode  # made once: half of what a seed takes
ANALYSIS = 0  # base seed of all that tables resample


def derive(base: int, *parts: str | int) -> int:
    """Return a 63-bit seed for `parts`; leave out the arm where two arms must share a draw."""
    spec = _encode([base, *parts])
    return int.from_bytes(hashlib.sha256(spec.encode()).digest()[:8], "big") >> 1
