"""Which samples of a pool are used: taken in order, each image looked at, bad ones replaced."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from matcg.data.near import distances, hashes
from matcg.data.pool import Flags, Numbers, Source
from matcg.data.split import in_turn, queues
from matcg.errors import BadRowError, DataError
from matcg.images import BITS, ImageError, fingerprint
from matcg.samples import Sample

AHEAD = 32  # images that each thread may look at before they are asked for


@dataclass
class Draw:
    """A draw from one source. `rejected` gives the reason of each sample that was drawn in vain.

    Decoding takes nearly all the time and runs in `threads`; what is drawn does not depend on them.
    """

    source: Source
    ranks: Numbers
    threads: int = 1
    rejected: dict[int, str] = field(default_factory=dict)
    looked_at: int = 0

    def test(self, among: Flags, cap: int) -> dict[int, Sample]:
        """Return as many of the marked samples as give every label the same number, `cap` in all.

        A label of which no image can be used is left out.

        Raises:
            DataError: `cap` holds less than one sample of each label.
        """
        parts = [part for part in queues(self.source.pool, among, self.ranks) if len(part)]
        if not parts:
            return {}
        if cap < len(parts):
            raise DataError(
                f"a test set of {cap} cannot hold one sample of each of {len(parts)} labels; "
                f"raise split.test to {len(parts)} or more"
            )
        each = min(cap // len(parts), *map(len, parts))
        taken = [list(islice(self._sound(part), each)) for part in parts]
        sound = [part for part in taken if part]
        each = min(map(len, sound), default=0)
        return {at: sample for part in sound for at, sample in part[:each]}

    def train(
        self, among: Flags, cap: int, seed: int, tests: Sequence[Sample], distance: int
    ) -> dict[int, Sample]:
        """Return up to `cap` of the marked samples, balanced by label.

        One whose picture is that of a test sample, or nearly so, is not taken.
        """
        tested = hashes(sample.fingerprint for sample in tests)
        taken: dict[int, Sample] = {}
        for at, sample in self._sound(in_turn(self.source.pool, among, self.ranks, seed)):
            bits = distances(hashes([sample.fingerprint])[0], tested)
            if bits.size and bits.min() <= distance:
                told = f"{tests[int(bits.argmin())].sample_id}, {bits.min()} of {BITS} bits differ"
                self.rejected[at] = f"image also in test: {told}"
                continue
            taken[at] = sample
            if len(taken) == cap:
                break
        return taken

    def _sound(self, order: Numbers) -> Iterator[tuple[int, Sample]]:
        """Yield the samples of an order whose image can be used, without it, with its hash."""
        step = AHEAD * self.threads
        with ThreadPoolExecutor(self.threads) if self.threads > 1 else nullcontext() as pool:
            for start in range(0, len(order), step):
                part = order[start : start + step].tolist()
                for at, found in zip(part, (pool or _Here).map(self._look, part), strict=True):
                    self.looked_at += 1
                    if isinstance(found, str):
                        self.rejected[at] = found
                    else:
                        yield at, found

    def _look(self, at: int) -> Sample | str:
        """Return a sample with its hash, or why it cannot be used."""
        try:
            sample = self.source.load(at)
            seen = fingerprint(sample.image, sample.origin)
        except BadRowError as error:
            return str(error)
        except ImageError as error:
            return f"{error.kind}: {error.detail}"
        return replace(sample, image=b"", fingerprint=seen)


class _Here:
    """Stands for an executor where there is but one thread."""

    map = staticmethod(map)


def marks(n: int, places: Sequence[int] | Numbers) -> Flags:
    """Return n marks that are set at these places."""
    flags = np.zeros(n, dtype=np.bool_)
    flags[places] = True
    return flags
