"""Which samples of a pool are used: taken in order, each image looked at, bad ones replaced."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from matcg.data.candidates import Flags, Numbers, Source
from matcg.data.near_duplicates import Hashes, distances, hashes
from matcg.data.split import queues
from matcg.errors import BadRowError, DataError
from matcg.images import BITS, ImageError, fingerprint
from matcg.samples import Sample
from matcg.seeds import derive

AHEAD = 8  # images of a label that each thread may look at before they are asked for
ROOM = (
    256 * 2**20
)  # bytes of images that are kept; those beyond are read again when they are written


@dataclass
class Draw:
    """A draw from one source. `rejected` gives the reason of each sample that was drawn in vain,
    `lost` the labels of whose pictures none can be tested on.

    Decoding takes nearly all the time and runs in `threads`; what is drawn does not depend on them.
    """

    source: Source
    ranks: Numbers
    threads: int = 1
    rejected: dict[int, str] = field(default_factory=dict)
    looked_at: int = 0
    lost: list[str] = field(default_factory=list)
    room: int = field(default_factory=lambda: ROOM)

    def test(self, among: Flags, cap: int, balanced: bool = True) -> dict[int, Sample]:
        """Return as many of the marked samples as give every label the same number, `cap` in all.

        A label of which no image can be used is left out. If not `balanced` labels are as frequent
        as they are.

        Raises:
            DataError: `cap` holds less than one sample of each label.
        """
        pool = self.source.pool if balanced else self.source.pool.unlabelled()
        named = zip(pool.names, queues(pool, among, self.ranks), strict=False)
        queued = {name: part for name, part in named if len(part)}
        if not queued:
            return {}
        parts = list(queued.values())
        if cap < len(parts):
            raise DataError(
                f"a test set of {cap} cannot hold one sample of each of {len(parts)} labels; "
                f"raise split.test to {len(parts)} or more"
            )
        each = min(cap // len(parts), *map(len, parts))
        with self._helpers() as helpers:
            taken = [list(islice(self._sound(part, helpers), each)) for part in parts]
        self.lost = [name for name, part in zip(queued, taken, strict=True) if not part]
        sound = [part for part in taken if part]
        each = min(map(len, sound), default=0)
        return {at: sample for part in sound for at, sample in part[:each]}

    def train(
        self,
        among: Flags,
        cap: int,
        seed: int,
        tests: Sequence[Sample],
        distance: int,
        per_label: int | None = None,
    ) -> dict[int, Sample]:
        """Return up to `cap` of the marked samples, one of each label in turn while there are any.

        A label gives at most `per_label`. One whose picture is that of a test sample, or nearly so,
        is not taken.
        """
        parts = zip(
            self.source.pool.names, queues(self.source.pool, among, self.ranks), strict=False
        )
        turns = sorted(parts, key=lambda each: derive(seed, "label", each[0]))
        tested = hashes(sample.fingerprint for sample in tests)
        taken: dict[int, Sample] = {}
        with self._helpers() as helpers:
            sound = [self._sound(part, helpers) for _, part in turns]
            left = [
                islice(self._apart(stream, tests, tested, distance), per_label) for stream in sound
            ]
            while left and len(taken) < cap:
                found = [(stream, next(stream, None)) for stream in left[: cap - len(taken)]]
                taken.update(sample for _, sample in found if sample)
                over = [stream for stream, sample in found if not sample]
                left = [stream for stream in left if stream not in over]
        return taken

    def _apart(
        self,
        samples: Iterator[tuple[int, Sample]],
        tests: Sequence[Sample],
        tested: Hashes,
        distance: int,
    ) -> Iterator[tuple[int, Sample]]:
        """Yield the samples that show none of the test samples' pictures."""
        for at, sample in samples:
            bits = distances(hashes([sample.fingerprint])[0], tested)
            if bits.size and bits.min() <= distance:
                told = f"{tests[int(bits.argmin())].sample_id}, {bits.min()} of {BITS} bits differ"
                self.rejected[at] = f"image also in test: {told}"
            else:
                yield at, sample

    def _helpers(self) -> AbstractContextManager[ThreadPoolExecutor | None]:
        return ThreadPoolExecutor(self.threads) if self.threads > 1 else nullcontext()

    def _sound(
        self, order: Numbers, helpers: ThreadPoolExecutor | None
    ) -> Iterator[tuple[int, Sample]]:
        """Yield the samples of an order whose image can be used, with its hash."""
        step = AHEAD * self.threads
        for start in range(0, len(order), step):
            part = order[start : start + step].tolist()
            looks = helpers.map(self._look, part) if helpers else map(self._look, part)
            for at, found in zip(part, looks, strict=True):
                self.looked_at += 1
                if isinstance(found, str):
                    self.rejected[at] = found
                else:
                    yield at, found

    def _look(self, at: int) -> Sample | str:
        """Return a sample with its hash, and its image where there is room, or why it is no use."""
        try:
            sample = self.source.load(at)
            made_of = self.source.underlying(at) if self.source.underlying else sample.image
            seen = fingerprint(made_of, sample.origin)
        except BadRowError as error:
            return str(error)
        except ImageError as error:
            return f"{error.kind}: {error.detail}"
        kept = sample.image if len(sample.image) <= self.room else b""
        self.room -= len(kept)
        return replace(sample, image=kept, fingerprint=seen)


def marks(n: int, places: Sequence[int] | Numbers) -> Flags:
    """Return n marks that are set at these places."""
    flags = np.zeros(n, dtype=np.bool_)
    flags[places] = True
    return flags
