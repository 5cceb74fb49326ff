"""The settings of one fine-tuning, as each of the processes that share it gets them."""

from pathlib import Path

from pydantic.dataclasses import dataclass

from matcg.config.backbone import Backbone, Recipe
from matcg.config.base import Model
from matcg.train.lock import Claim


@dataclass(frozen=True, slots=True)
class Job:
    """One run to be trained; `run` is the digest of all that decides its weights.

    Args:
        store: folder of what a try has done, until the outputs are there.
        minutes: between two checkpoints; None writes one only when asked to stop.
        leased: devices of this job on each node, a process each.
    """

    mix: Path
    data: Path
    backbone: Backbone
    recipe: Recipe
    seed: int
    out: Path
    threads: int
    store: Path
    minutes: float | None
    leased: tuple[str, ...]
    run: str
    nodes: int = 1

    @property
    def processes(self) -> int:
        """Return how many processes train it."""
        return self.nodes * max(1, len(self.leased))


class Told(Model):
    """What each process of a run is told as JSON: the job, its lock, where the others are met."""

    job: Job
    lock: Claim
    host: str
    port: int
