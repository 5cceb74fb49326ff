"""What a run's provenance.json says beyond what was asked for: seeds, data, sizes, memory."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from matcg import told
from matcg.models.identity import settings
from matcg.models.weights import part_of
from matcg.provenance import describe, write_record
from matcg.samples import label_of
from matcg.seeds import derive
from matcg.train.job import Job
from matcg.train.training_state import peak_mb


def record_run(job: Job, **facts: Any) -> None:
    """Write what a run was made of and by what, with `facts` among it: the last of its files."""
    record = describe(
        step="finetune",
        backbone=json.loads(settings(job.backbone)),
        recipe=job.recipe.model_dump(mode="json"),
        seed=job.seed,
        seeds=seeds_of(job.seed, job.recipe.epochs),
        mix={"file": job.mix.name, "sha256": digest_of(job.mix)},
        data=digests_of(_training_files(job)),
        **facts,
        leased=job.leased,
        processes=job.processes,
        run=job.run,
        place="/".join(job.out.parts[-4:]),
    )
    write_record(job.out / told.RECORD, record)


def _training_files(job: Job) -> dict[str, Path]:
    """Return where the samples were; none where the mix cannot be read any more (`digests_of`)."""
    folders = label_of(job.mix).get("folders", {})
    return {subset: job.data / folder / "train.parquet" for subset, folder in folders.items()}


def seeds_of(seed: int, epochs: int) -> dict[str, Any]:
    """Return a run's seed with those derived from it: of new weights, of each epoch's order."""
    order = [derive(seed, "order", epoch) for epoch in range(epochs)]
    return {"run": seed, "weights": derive(seed, "weights"), "order": order}


def digests_of(files: Mapping[str, Path]) -> dict[str, str | None]:
    """Return the SHA-256 of some files, by name, as that of the subset whose samples one holds.

    None where it cannot be read any more: that must not cost a run that is trained. What its
    samples were is in the run's digest too.
    """
    return {name: digest_of(file) for name, file in sorted(files.items())}


def digest_of(file: Path) -> str | None:
    """Return a file's SHA-256, None where it cannot be read."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def parameters_of(model: nn.Module) -> dict[str, dict[str, int]]:
    """Return how many parameters each part has, and how many of them are trained.

    Adapters are of the part that they adapt. A matrix that is shared is counted once.
    """
    every: Counter[str] = Counter()
    trained: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        every[part_of(name)] += parameter.numel()
        trained[part_of(name)] += parameter.numel() * parameter.requires_grad
    return {part: {"all": every[part], "trained": trained[part]} for part in sorted(every)}


def peaks_of(
    rows: Sequence[Mapping[str, float | None]], device: torch.device
) -> dict[str, int | None]:
    """Return the peak memory in MB: of tensors on the GPU over all tries, of this try's process.

    `rows` are those of metrics.jsonl. On a CPU `device` is None, and `process` is of all tries.
    """
    before = round(max((row.get("peak_mb") or 0 for row in rows), default=0))
    now = peak_mb(torch.device("cpu"))
    if device.type == "cpu":
        return {"device": None, "process": max(before, now)}
    return {"device": max(before, peak_mb(device)), "process": now}
