"""Pictures of drawn samples, looked at: whether they can be used, and what they show."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace

from matcg.data.candidates import Source
from matcg.data.near_duplicates import hashes, near_pairs
from matcg.data.workers import forked
from matcg.errors import BadRowError
from matcg.images import BITS, ImageError, Thumbnail, as_shown, fingerprints, thumbnail
from matcg.samples import Sample

AHEAD = 8  # samples that are looked at at once where it is not sure that all are needed
CHUNK = 64  # samples that a fork looks at at once
QUEUED = 4  # times as many are handed to each fork before the first result is taken
ALONE = 0.1  # seconds until work is handed to forks, about what it costs to start and to end them

Found = Sample | str  # a sample with what its picture shows, or why it is of no use


@dataclass
class Look:
    """Looks at samples' pictures. Those of `tests`, and nearly so, are of no use.

    `distance` is the most bits in which near pictures' hashes differ, `room` how many bytes of
    pictures are kept; samples beyond are returned without theirs.
    """

    source: Source
    room: int
    tests: Sequence[Sample] = ()
    distance: int = 0

    def __post_init__(self) -> None:
        self._tested = hashes(sample.fingerprint for sample in self.tests)

    def __call__(self, part: Sequence[int]) -> list[Found]:
        """Return what was found of these samples."""
        looked = [self._loaded(at) for at in part]
        prints = fingerprints([each[2] for each in looked if not isinstance(each, str)])
        told = zip(prints, self._near(prints), strict=True)
        found: list[Found] = []
        for each in looked:
            if isinstance(each, str):
                found.append(each)
                continue
            (sample, kept, _), (seen, reason) = each, next(told)
            found.append(reason or replace(sample, image=kept, fingerprint=seen))
        return found

    def _near(self, prints: Sequence[str]) -> list[str]:
        """Return of each fingerprint why it may not be trained on, nothing where it may."""
        nearest: dict[int, tuple[int, int]] = {}
        for i, test, bits in near_pairs(hashes(prints), self._tested, self.distance):
            nearest[i] = min((bits, test), nearest.get(i, (bits, test)))
        reasons = [""] * len(prints)
        for i, (bits, test) in nearest.items():
            told = f"{self.tests[test].sample_id}, {bits} of {BITS} bits differ"
            reasons[i] = f"image also in test: {told}"
        return reasons

    def _loaded(self, at: int) -> tuple[Sample, bytes, Thumbnail] | str:
        """Return a sample, what is kept of its picture, and this in small, or what is wrong."""
        try:
            sample = self.source.load(at)
            made_of = self.source.underlying(at) if self.source.underlying else sample.image
            small = thumbnail(made_of, sample.origin)
            image = as_shown(sample.image, sample.origin)
        except BadRowError as error:
            return str(error)
        except ImageError as error:
            return f"{error.kind}: {error.detail}"
        kept = image if len(image) <= self.room else b""
        self.room -= len(kept)
        return sample, kept, small


class Looks:
    """Samples that are asked for in orders, looked at ahead, by forks where that takes long.

    `sure` are those that will be asked for in any case, in about this order; `alone` the seconds
    that this process looks at samples before forks do, `stack` ends the forks.
    """

    def __init__(
        self, look: Look, threads: int, sure: Sequence[int], alone: float, stack: ExitStack
    ) -> None:
        self.alone = alone
        self._look, self._threads, self._stack = look, threads, stack
        self._hand_out: Callable[[Sequence[int]], Future[list[Found]]] | None = None
        self._awaited = set(sure)
        self._coming = self._looked_at(sure)
        self._found: dict[int, Found] = {}

    def of(self, order: Sequence[int]) -> Iterator[tuple[int, Found]]:
        """Yield samples in an order, each with what was found."""
        ahead = AHEAD * self._threads
        for place, at in enumerate(order):
            while at in self._awaited:
                self._take(*next(self._coming))
            if at not in self._found:
                for each in self._looked_at(order[place : place + ahead]):
                    self._take(*each)
            yield at, self._found.pop(at)

    def _take(self, at: int, found: Found) -> None:
        self._awaited.discard(at)
        self._found[at] = found

    def _looked_at(self, samples: Sequence[int]) -> Iterator[tuple[int, Found]]:
        """Yield what is found of samples: by this process, and when that takes long by forks."""
        start, each = 0, CHUNK if self._threads == 1 else AHEAD
        while start < len(samples) and (self._threads == 1 or self.alone > 0):
            begun = time.perf_counter()
            part = samples[start : start + each]
            found = self._look(part)
            self.alone -= time.perf_counter() - begun
            yield from zip(part, found, strict=True)
            start += each
        each = max(1, min(CHUNK, (len(samples) - start) // (4 * self._threads)))
        waiting = deque[tuple[Sequence[int], Future[list[Found]]]]()
        for at in range(start, len(samples), each):
            part = samples[at : at + each]
            waiting.append((part, self._forks()(part)))
            # No more, so that those asked for in between need not wait for all.
            if len(waiting) > QUEUED * self._threads:
                yield from _done(*waiting.popleft())
        for both in waiting:
            yield from _done(*both)

    def _forks(self) -> Callable[[Sequence[int]], Future[list[Found]]]:
        """Return what hands samples to forks, each of which has its share of the room."""
        if self._hand_out is None:
            self._look.room //= self._threads
            self._hand_out = self._stack.enter_context(forked(self._look, self._threads))
        return self._hand_out


def _done(part: Sequence[int], found: Future[list[Found]]) -> Iterator[tuple[int, Found]]:
    return zip(part, found.result(), strict=True)
