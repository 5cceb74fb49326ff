"""What the engines of a job did, and how long it took."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Timing:
    """What a job's engines did: starts, swaps of weights, their seconds, answers, questions.

    `ties` are questions of which several answers are equally likely.
    """

    starts: int = 0
    loads: int = 0
    start_s: float = 0.0
    load_s: float = 0.0
    answer_s: float = 0.0
    questions: int = 0
    ties: int = 0

    def describe(self) -> str:
        """Return it in a line."""
        return (
            f"{self.questions} questions, {self.ties} of them tied: {self.starts} engine starts"
            f" {self.start_s:.1f} s, {self.loads} swaps {self.load_s:.1f} s,"
            f" answers {self.answer_s:.1f} s"
        )

    def add(self, other: Mapping[str, float]) -> None:
        """Add what another process did."""
        for name, value in other.items():
            setattr(self, name, getattr(self, name) + value)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Add the seconds that the body takes to one of the sums."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.perf_counter() - begun)
