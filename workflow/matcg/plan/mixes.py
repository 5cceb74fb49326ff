"""Training sets as planned: how many samples of which subsets, and the name that says so."""

import hashlib
import json
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

from matcg.plan.records import Mix

MAX_SLUG = 100


def planned_mix(
    catalog: str,
    parts: Mapping[str, int],
    seed: int,
    labels: Literal["true", "shuffled"] = "true",
    repeat: bool = False,
    leaky: bool = False,
) -> Mix:
    """Return a mix with its slug, which says what it holds and differs where anything does."""
    ordered = tuple(sorted(parts.items()))
    flags = [name for name, given in (("repeat", repeat), ("leaky", leaky)) if given]
    spec = [catalog, ordered, seed, labels, *flags]
    text = json.dumps(spec, separators=(",", ":"))
    tail = f"s{seed}" + ("-shuffled" if labels == "shuffled" else "")
    tail = "-".join([tail, *flags, hashlib.sha256(text.encode()).hexdigest()[:8]])
    slug = "+".join(f"{name}.{n}" for name, n in ordered) + f"-{tail}"
    if len(slug) > MAX_SLUG:
        slug = f"{len(ordered)}subsets.{sum(parts.values())}-{tail}"
    return Mix(slug, catalog, ordered, seed, labels, repeat, leaky)


def spread(
    total: int, weights: Mapping[str, Fraction], caps: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Divide `total` over sources in proportion to their weights.

    What cannot be divided goes to the largest remainders, equal ones in the order of their names.
    A source with a cap gives no more; the others then give more, in proportion.

    Raises:
        ValueError: all caps together are below `total`.
    """
    caps = caps or {}
    full: dict[str, int] = {}
    while True:
        rest = {name: weight for name, weight in weights.items() if name not in full}
        shares = _divide(total - sum(full.values()), rest)
        over = {name: caps[name] for name, n in shares.items() if n > caps.get(name, n)}
        if not over:
            break
        full |= over
    if sum(full.values()) + sum(shares.values()) < total:
        raise ValueError(f"{total} are more than all sources give")
    return dict(sorted((full | shares).items()))


def _divide(total: int, weights: Mapping[str, Fraction]) -> dict[str, int]:
    """Return whole shares of `total` by largest remainder; none where there are no sources."""
    # Whole numbers, exact as fractions are, and ten times as fast in a large plan.
    scale = math.lcm(*(weight.denominator for weight in weights.values()))
    parts = {name: w.numerator * (scale // w.denominator) for name, w in sorted(weights.items())}
    whole = sum(parts.values())
    shares = {name: total * part // whole for name, part in parts.items()}
    order = sorted(parts, key=lambda name: (-(total * parts[name] % whole), name))
    for name in order[: total - sum(shares.values())]:
        shares[name] += 1
    return shares
