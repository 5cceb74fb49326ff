"""What a run is trained on: a mix's samples in its order, batch by batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from matcg import forms, told
from matcg.config.backbone import Recipe
from matcg.errors import DataError
from matcg.samples import Sample, read_samples
from matcg.seeds import derive


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """A sample and the answer that it is trained on (not its own where labels are shuffled)."""

    sample: Sample
    answer: Any


def training_files(mix: Path, data: Path) -> dict[str, Path]:
    """Return the file of training samples of each subset that a mix draws from.

    `data` is the folder of the catalog's subsets; the mix says which of theirs it was made of.

    Raises:
        DataError: the mix, or the samples, are not those that their names stand for.
    """
    folders = told.mix_label(mix).get("folders")
    if not folders:
        raise DataError(f"{mix}: does not say of which samples it is; delete the mix and run again")
    files = {subset: data / name / "train.parquet" for subset, name in sorted(folders.items())}
    for file in files.values():
        told.samples_digest(file)
    return files


def read_mix(mix: Path, data: Path) -> list[TrainingSample]:
    """Return a mix's samples in its order (`training_files`).

    Raises:
        DataError: a sample of the mix is not in its subset's training file.
    """
    files = training_files(mix, data)
    rows = pq.read_table(mix).to_pylist()
    known = {
        (subset, sample.sample_id): sample
        for subset, file in files.items()
        for sample in read_samples(file)
    }
    tasks = []
    for row in sorted(rows, key=lambda row: int(row["position"])):
        sample = known.get((row["subset"], row["sample_id"]))
        if sample is None:
            raise DataError(
                f"{mix}: sample {row['sample_id']} is not in {files[row['subset']]}; delete the mix"
                " and run again"
            )
        form = forms.of(sample)
        tasks.append(TrainingSample(sample, form.unpacked(row[form.answer.name])))
    return tasks


def batches(
    tasks: Sequence[TrainingSample], recipe: Recipe, seed: int
) -> Iterator[list[TrainingSample]]:
    """Yield every epoch's batches; each epoch sees every sample once, in an order of its own."""
    for epoch in range(recipe.epochs):
        generator = torch.Generator().manual_seed(derive(seed, "order", epoch))
        order = torch.randperm(len(tasks), generator=generator).tolist()
        for start in range(0, len(order), recipe.batch_size):
            yield [tasks[i] for i in order[start : start + recipe.batch_size]]


def ids_of(tasks: Sequence[TrainingSample]) -> str:
    """Return the sample ids of some tasks as one text."""
    return ", ".join(task.sample.sample_id for task in tasks)
