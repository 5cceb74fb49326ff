"""Fine-tunes a backbone on one mix: transformers on torch, the loss on the answer.

What a killed try had done is kept in a folder beside the outputs (`training_state.py`,
`checkpoint.py`). Where a job has several GPUs, a process each trains the run (`launch.py`,
`parallel.py`).
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from matcg import forms, identity, told, versions
from matcg.cluster import devices
from matcg.config.backbone import Backbone, Recipe
from matcg.errors import disk_errors
from matcg.models import loading
from matcg.models.checks import check_processor, follows_template
from matcg.models.device import device_kind
from matcg.models.flops import Work
from matcg.models.identity import of_backbone, settings
from matcg.models.prompts import single_tokens
from matcg.models.weights import weights_folder
from matcg.provenance import begin, device_name, read_record
from matcg.seeds import derive
from matcg.train.batches import MEMORY_SHARE, Collator, Pictures
from matcg.train.by_command import by_command
from matcg.train.checkpoint import FORMAT, Checkpoints
from matcg.train.job import Job
from matcg.train.launch import launch
from matcg.train.lean import spare_imports
from matcg.train.lock import Claim, held
from matcg.train.loop import train
from matcg.train.parallel import Meeting, World, alike, copy_of_whole, joined, shard
from matcg.train.record import parameters_of, peaks_of, record_run
from matcg.train.taken_over import take_over
from matcg.train.tasks import TrainingSample, read_mix
from matcg.train.training_state import Attempt, Stop

_FREE = (
    "Free some (results/plan/unused.tsv names what no plan uses) and call again: training goes on"
    " from its last checkpoint"
)


def run_digest(
    tasks: Sequence[TrainingSample], backbone: Backbone, recipe: Recipe, seed: int
) -> str:
    """Return the SHA-256 of all that decides a run's weights, what the samples show included.

    Not of `resources`: a try that ran out of memory goes on with a smaller micro-batch.
    """
    known = [FORMAT, versions.FINETUNE, settings(backbone), recipe.canonical(), seed]
    digest = hashlib.sha256(json.dumps(known).encode())
    for task in tasks:
        sample = task.sample
        answer = forms.of(sample).packed(task.answer)
        asked = [sample.subset, sample.sample_id, sample.question, sample.options, answer]
        digest.update(json.dumps(asked).encode() + hashlib.sha256(sample.image).digest())
    return digest.hexdigest()


def finetune(
    mix: Path,
    data: Path,
    backbone: Backbone,
    recipe: Recipe,
    seed: int,
    out: Path,
    threads: int,
    store: Path | None = None,
    minutes: float | None = 10,
    nodes: int = 1,
) -> None:
    """Fine-tune `backbone` on `mix`; write weights, metrics.jsonl and provenance.json to `out`.

    A process works on it for each device that this one has leased, on each of so many `nodes` of
    the Slurm job that it runs in. What a try has done is kept in `store` (`out/unfinished` if not
    said) until all three are there, at least every so many `minutes` (None: only when asked to
    stop).

    Where an equal run is finished under another name of its mix, its outputs are taken instead.

    Raises:
        ConfigError: devices were leased or asked for, and torch sees none.
        DataError: a sample is missing or damaged, or training diverged; or `out` is the folder of
            a run with other settings.
        ResourceError: memory or disk did not suffice.
        StoppedError: SIGTERM, SIGUSR1 or SIGINT came, or another process is training this run.
    """
    store = store or out / "unfinished"
    tasks = read_mix(mix, data)
    run = run_digest(tasks, backbone, recipe, seed)
    _check_place(out, mix, backbone, recipe, seed)
    _describe(out, mix, backbone, recipe)
    leased = tuple(devices.leased())
    job = Job(mix, data, backbone, recipe, seed, out, threads, store, minutes, leased, run, nodes)
    with disk_errors(store, _FREE), held(store / "lock.json") as lock:
        if lock.waited and _finished(out, run):
            print(f"{out}: finished by the process that was waited for", flush=True)
            return
        if not take_over(out, run):
            with Stop() as stop:
                if backbone.commands:
                    by_command(job, tasks, lock.claim, stop)
                elif job.processes > 1:
                    launch(job, lock.claim, stop)
                else:
                    produce(job, tasks, lock.claim, stop)
        Checkpoints(store, run).clear()
    # Another try may wait at the lock in this folder: it then stays.
    with suppress(OSError):
        store.rmdir()


def _check_place(out: Path, mix: Path, backbone: Backbone, recipe: Recipe, seed: int) -> None:
    """Refuse to write a run where the plan means another."""
    names = out.absolute().parts[-4:]
    identity.require(out, names[0], of_backbone(backbone), "the backbone has the digest")
    identity.require(out, names[1], identity.of_recipe(recipe), "the recipe has the digest")
    place = "/".join([*names[:2], mix.stem, f"seed{seed}"])
    told.check_place(out, out, place)


def _describe(out: Path, mix: Path, backbone: Backbone, recipe: Recipe) -> None:
    """Say in the folders above a run what their names stand for."""
    label = told.mix_label(mix)
    known = {name: label.get(name) for name in ("mix", "parts", "seed", "labels", "targets")}
    lines = (f"mix {known}", f"recipe {recipe.canonical()}", f"backbone {settings(backbone)}")
    for folder, line in zip(out.parents, lines, strict=False):
        identity.describe_folder(folder, f"Runs of {line}")


def _finished(out: Path, run: str) -> bool:
    """Return whether the outputs are those of this run; its record is written last."""
    return bool(read_record(out / told.RECORD).get("run") == run)


def produce(
    job: Job,
    tasks: Sequence[TrainingSample],
    lock: Claim,
    stop: Stop,
    meeting: Meeting | None = None,
) -> None:
    """Train and write the outputs, the record last, as one of the processes of a `meeting`."""
    begin()
    each = job.nodes * job.threads // job.processes
    torch.set_num_threads(max(1, each))
    kind = device_kind(bool(job.leased or job.backbone.resources.gpu))
    low = getattr(torch, job.backbone.dtype)
    # One process alone shards too where weights are kept in float32 beside what it computes in.
    sharded = job.recipe.method == "full" and (meeting is not None or low != torch.float32)
    spare_imports(alone=meeting is None and not sharded)
    from transformers.utils import logging

    logging.disable_progress_bar()
    with joined(kind, sharded, meeting) as world:
        attempt = Attempt(Checkpoints(job.store, job.run), job.minutes, stop, lock, world)
        torch.manual_seed(derive(job.seed, "weights"))
        model, processor = loading.load_model(job.backbone.weights, job.backbone, str(world.device))
        check_processor(processor, job.backbone)
        # Before training, which may take a day: who reads the log can still stop it.
        follows = follows_template(processor, job.backbone) if world.first else None
        model = loading.choose_parameters(model, job.recipe)
        sizes, work = parameters_of(model), Work.of(model, job.backbone.image.size)
        answers = spread(model, job.backbone, world)
        tokens = single_tokens(processor.tokenizer, job.backbone, forms.of_one_token())
        room = job.backbone.resources.mem_mb * 2**20 // MEMORY_SHARE // job.processes
        workers = max(0, each - 1)
        pictures = Pictures(job.backbone, room, workers)
        reader = Collator(processor, job.backbone, tokens, world.device, pictures)
        train(answers, reader, tasks, job.recipe, job.seed, attempt, work)
        if world.mesh is not None:
            model = copy_of_whole(model, job.backbone, world.first)
        if world.first:
            facts = {
                "chat_template": follows,
                "samples": len(tasks),
                "parameters": sizes,
                "letters": tokens,
            }
            _write(job, model, processor, attempt, facts)


def spread(model: nn.Module, backbone: Backbone, world: World) -> loading.AnswerLogits:
    """Return the model ready to be trained by all processes.

    At the paper's rates most steps are smaller than bfloat16 can add to a weight: updates are made
    in float32, and only the arithmetic runs in the backbone's own type.
    """
    answers = loading.AnswerLogits(model)
    if backbone.resources.gradient_checkpointing:
        layers: Any = model
        layers.gradient_checkpointing_enable({"use_reentrant": False})
        # Else gradients of pixels and embeddings are asked for, down through a frozen tower.
        layers.disable_input_require_grads()
    if world.mesh is not None:
        shard(answers, getattr(torch, backbone.dtype), world.mesh)
        return answers
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    alike(trained, world)
    return answers


def _write(
    job: Job, model: nn.Module, processor: Any, attempt: Attempt, facts: dict[str, Any]
) -> None:
    """Write weights, metrics and, last, the record, with `facts` among others."""
    attempt.lock.check()
    model = model.to(getattr(torch, job.backbone.dtype))
    loading.save_weights(
        model,
        processor,
        job.out / "weights",
        loading.weight_names(weights_folder(job.backbone)),
    )
    attempt.finish(job.out)
    record_run(
        job,
        **facts,
        peak_mb=peaks_of(attempt.rows, attempt.world.device),
        threads=torch.get_num_threads(),
        device=device_name(attempt.world.device.type == "cuda"),
        seconds=round(attempt.seconds, 2),
        tries=attempt.tries,
    )
