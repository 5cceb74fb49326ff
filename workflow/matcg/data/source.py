"""What a reader hands over: usable samples, the rows it had to set aside, and how to fetch images.

Readers of large sources leave `Sample.image` empty and give a `load` that fills it, so that only
the samples that are kept ever have their bytes in memory.
"""

from collections.abc import Callable
from dataclasses import dataclass

from matcg.samples import Sample


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that is set aside; `row` counts from 1, `reason` reads "kind" or "kind: detail"."""

    file: str
    row: str
    reason: str
    image: str

    @property
    def kind(self) -> str:
        """The countable part of the reason."""
        return self.reason.split(": ", 1)[0]


def _loaded(sample: Sample) -> Sample:
    return sample


@dataclass(frozen=True)
class Source:
    """All that one subset's files hold.

    `test_ids` are the sample ids of the source's own test split, None where it has none. `rows`
    counts what was read, usable or not; `files` are the tables read, relative to the data folder.
    """

    samples: tuple[Sample, ...]
    quarantined: tuple[Quarantined, ...]
    rows: int
    files: tuple[str, ...]
    test_ids: frozenset[str] | None = None
    load: Callable[[Sample], Sample] = _loaded
