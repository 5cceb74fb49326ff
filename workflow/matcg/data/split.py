"""Who is trained on and who is tested on: pure functions of the columns of a pool.

Every choice ranks samples by a hash of seed and sample id, so none depends on the order of the
source, and adding samples elsewhere moves none. Images are never looked at.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import or_

import numpy as np
import pandas as pd

from matcg import forms
from matcg.data.candidates import Flags, Numbers, Pool
from matcg.samples import Sample
from matcg.seeds import derive

_BITS = 62  # of a whole number, one for each label


def rank(sample: Sample, seed: int) -> tuple[int, str]:
    """Return the key that puts samples into the random order of `seed`."""
    return derive(seed, sample.sample_id), sample.sample_id


def balanced_order(samples: Iterable[Sample], seed: int) -> list[Sample]:
    """Return the samples in an order of which every beginning is as label-balanced as can be.

    One sample of each label in turn; a label that runs out leaves the others to go on. The first n
    thus differ by at most one between labels that have enough, and 300 begin with the same 20.
    Samples of a form that needs no balance are one label.
    """
    queues = by_label(sorted(samples, key=lambda sample: rank(sample, seed)))
    turn = {label: derive(seed, "label", label) for label in queues}
    places = [
        (place, turn[label], label, sample)
        for label, queue in queues.items()
        for place, sample in enumerate(queue)
    ]
    return [sample for *_, sample in sorted(places, key=lambda each: each[:3])]


def by_label(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """Return the samples of each label, labels sorted, samples in the given order."""
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[sample.label if forms.of(sample).balanced else ""].append(sample)
    return dict(sorted(found.items()))


def queues(pool: Pool, among: Flags, ranks: Numbers) -> list[Numbers]:
    """Return the indices of each label's marked samples, in the order of their ranks."""
    chosen = np.flatnonzero(among)
    order = chosen[np.lexsort((ranks[chosen], pool.labels[chosen]))]
    ends = np.searchsorted(pool.labels[order], np.arange(1, len(pool.names)))
    return np.split(order, ends)


def by_fraction(pool: Pool, fraction: float, ranks: Numbers) -> Flags:
    """Return the marks of the test samples, about `fraction` of every label.

    Whole units move, so that no group and no image is on both sides. Units of several samples come
    first, and one goes to the test when more of it is wanted there than not; units of one sample
    then fill up each label, and a label that would get nothing gives its smallest unit. No label
    loses its last unit for training: one with a single unit is only trained on.
    """
    tests = np.zeros(len(pool), dtype=np.bool_)
    if not len(pool) or not fraction:
        return tests
    share = _Share(pool, fraction)
    sizes = np.bincount(pool.units)
    alone = sizes[pool.units] == 1
    for unit, bits in _units(pool, ~alone, ranks):
        if not bits & share.lacking:
            continue
        labels = pool.labels[unit].tolist()
        if share.wants(labels) and share.can_take(labels):
            share.take(labels)
            tests[unit] = True
    for label, queue in enumerate(queues(pool, alone, ranks)):
        n = max(0, min(share.want[label] - share.given[label], share.spare[label] - 1, len(queue)))
        tests[queue[:n]] = True
        share.given[label] += n
        share.spare[label] -= n
    for label, given in enumerate(share.given):
        if not given:
            tests[_smallest(pool, label, ~tests, ranks, share)] = True
    return tests


class _Share:
    """How many samples each label is to give to the test, has given, and its units left over.

    Lists of Python's numbers: with some hundred thousand small units NumPy's take twice as long.
    """

    def __init__(self, pool: Pool, fraction: float) -> None:
        n = len(pool.names)
        counts = np.bincount(pool.labels, minlength=n)
        self.want: list[int] = np.maximum(1, (fraction * counts + 0.5).astype(np.int64)).tolist()
        self.given: list[int] = [0] * n
        pairs = pd.unique(pool.units * n + pool.labels)
        self.spare: list[int] = np.bincount(pairs % n, minlength=n).tolist()
        self.lacking = _bits(range(n))  # of labels that have not given all they are to give

    def wants(self, labels: Sequence[int]) -> bool:
        """Tell whether of a unit with these labels more is wanted in the test than not."""
        wanted = sum(
            min(labels.count(label), max(0, self.want[label] - self.given[label]))
            for label in set(labels)
        )
        return 2 * wanted > len(labels)

    def can_take(self, labels: Sequence[int]) -> bool:
        """Tell whether every label of a unit keeps another unit for training."""
        return all(self.spare[label] > 1 for label in labels)

    def take(self, labels: Sequence[int]) -> None:
        """Count a unit as given to the test."""
        for label in set(labels):
            self.given[label] += labels.count(label)
            self.spare[label] -= 1
        pairs = enumerate(zip(self.given, self.want, strict=True))
        self.lacking = _bits(label for label, (given, want) in pairs if given < want)


def _bits(labels: Iterable[int]) -> int:
    """Return a number that has a bit set for each label; many labels may share one."""
    return reduce(or_, (1 << label % _BITS for label in labels), 0)


def _units(pool: Pool, among: Flags, ranks: Numbers) -> Iterator[tuple[Numbers, int]]:
    """Yield the indices and the bits of the labels of each unit of the marked samples.

    The one with the lowest rank comes first.
    """
    chosen = np.flatnonzero(among)
    if not len(chosen):
        return
    chosen = chosen[np.argsort(pool.units[chosen], kind="stable")]
    starts = np.flatnonzero(np.diff(pool.units[chosen], prepend=-1))
    ends = np.append(starts[1:], len(chosen))
    bits = np.bitwise_or.reduceat(1 << pool.labels[chosen] % _BITS, starts).tolist()
    for at in np.argsort(np.minimum.reduceat(ranks[chosen], starts), kind="stable").tolist():
        yield chosen[starts[at] : ends[at]], bits[at]


def _smallest(pool: Pool, label: int, left: Flags, ranks: Numbers, share: _Share) -> Numbers:
    """Return the smallest unit with a label that training can spare, and count it as given."""
    of_label = np.isin(pool.units, pool.units[(pool.labels == label) & left])
    units = [unit for unit, _ in _units(pool, of_label & left, ranks)]
    for unit in sorted(units, key=len):
        labels = pool.labels[unit].tolist()
        if share.can_take(labels):
            share.take(labels)
            return unit
    return np.zeros(0, dtype=np.int64)
