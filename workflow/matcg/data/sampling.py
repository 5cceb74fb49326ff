"""Which samples of a pool are used: taken in order, each image looked at, bad ones replaced."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from matcg.data.candidates import Flags, Numbers, Source
from matcg.data.looking import ALONE, Look, Looks
from matcg.data.split import queues
from matcg.errors import DataError
from matcg.samples import Sample
from matcg.seeds import derive

# Bytes of images that are kept; those beyond are read again when they are written.
ROOM = 256 * 2**20


@dataclass
class Draw:
    """A draw from one source. `rejected` gives the reason of each sample that was drawn in vain,
    `lost` the labels of whose pictures none can be tested on.

    Pictures take nearly all the time and are looked at by as many processes as there are `threads`;
    what is drawn does not depend on them.
    """

    source: Source
    ranks: Numbers
    threads: int = 1
    rejected: dict[int, str] = field(default_factory=dict)
    looked_at: int = 0
    lost: list[str] = field(default_factory=list)
    room: int = field(default_factory=lambda: ROOM)
    alone: float = field(default_factory=lambda: ALONE)

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
        sure = np.concatenate([part[:each] for part in parts])
        with self._looking(Look(self.source, self.room), sure) as looks:
            taken = [list(islice(self._sound(part, looks), each)) for part in parts]
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
        named = zip(
            self.source.pool.names, queues(self.source.pool, among, self.ranks), strict=False
        )
        turns = sorted(named, key=lambda each: derive(seed, "label", each[0]))
        parts = [part for _, part in turns]
        look = Look(self.source, self.room, tests, distance)
        taken: dict[int, Sample] = {}
        with self._looking(look, _in_turn(parts, per_label)[:cap]) as looks:
            left = [islice(self._sound(part, looks), per_label) for part in parts]
            while left and len(taken) < cap:
                found = [(stream, next(stream, None)) for stream in left[: cap - len(taken)]]
                taken.update(sample for _, sample in found if sample)
                over = [stream for stream, sample in found if not sample]
                left = [stream for stream in left if stream not in over]
        return taken

    @contextmanager
    def _looking(self, look: Look, sure: Numbers) -> Iterator[Looks]:
        with ExitStack() as stack:
            looks = Looks(look, self.threads, sure.tolist(), self.alone, stack)
            yield looks
        self.alone = looks.alone

    def _sound(self, order: Numbers, looks: Looks) -> Iterator[tuple[int, Sample]]:
        """Yield the samples of an order whose image can be used, with its hash."""
        for at, found in looks.of(order.tolist()):
            self.looked_at += 1
            if isinstance(found, str):
                self.rejected[at] = found
            else:
                self.room -= len(found.image)
                yield at, found


def _in_turn(parts: Sequence[Numbers], most: int | None) -> Numbers:
    """Return the first of each part, at most so many, in turn while there are any."""
    firsts = [part[:most] for part in parts]
    if not firsts:
        return np.zeros(0, dtype=np.int64)
    turns = np.concatenate([np.arange(len(part)) for part in firsts])
    return np.concatenate(firsts)[np.argsort(turns, kind="stable")]


def marks(n: int, places: Sequence[int] | Numbers) -> Flags:
    """Return n marks that are set at these places."""
    flags = np.zeros(n, dtype=np.bool_)
    flags[places] = True
    return flags
