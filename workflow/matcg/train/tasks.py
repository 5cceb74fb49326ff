"""What a run is trained on: a mix's samples in its order, batch by batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import torch

from matcg.config import Recipe
from matcg.errors import DataError
from matcg.samples import Sample, read_samples
from matcg.seeds import derive


@dataclass(frozen=True, slots=True)
class Task:
    """A sample and the option it is trained to choose (not its own where labels are shuffled)."""

    sample: Sample
    answer: int


def read_mix(mix: Path, data: Path) -> list[Task]:
    """Return a mix's samples in its order.

    Raises:
        DataError: a sample of the mix is not in its subset's training file.
    """
    rows = pq.read_table(mix).to_pylist()
    subsets = sorted({row["subset"] for row in rows})
    known = {
        (subset, sample.sample_id): sample
        for subset in subsets
        for sample in read_samples(data / subset / "train.parquet")
    }
    tasks = []
    for row in sorted(rows, key=lambda row: int(row["position"])):
        sample = known.get((row["subset"], row["sample_id"]))
        if sample is None:
            raise DataError(
                f"{mix}: sample {row['sample_id']} is not in {data / row['subset']}/train.parquet; "
                "delete the mix and run again"
            )
        tasks.append(Task(sample, row["answer"]))
    return tasks


def batches(tasks: Sequence[Task], recipe: Recipe, seed: int) -> Iterator[list[Task]]:
    """Yield every epoch's batches; each epoch sees every sample once, in an order of its own."""
    for epoch in range(recipe.epochs):
        generator = torch.Generator().manual_seed(derive(seed, "order", epoch))
        order = torch.randperm(len(tasks), generator=generator).tolist()
        for start in range(0, len(order), recipe.batch_size):
            yield [tasks[i] for i in order[start : start + recipe.batch_size]]


def ids_of(tasks: Sequence[Task]) -> str:
    """Return the sample ids of some tasks as one text."""
    return ", ".join(task.sample.sample_id for task in tasks)
