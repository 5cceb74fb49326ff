"""Fine-tunes a backbone on one mix: transformers on torch, the loss on the answer's letter.

What a killed try had done is kept in a folder beside the outputs (`attempt.py`, `checkpoint.py`).
"""

import errno
import hashlib
import json
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from huggingface_hub import snapshot_download
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
from transformers.utils import logging

from matcg import devices, versions
from matcg.config import Backbone, Recipe
from matcg.errors import DataError, ResourceError
from matcg.prompts import begins_itself, letter_tokens, picture_of, prompt_of
from matcg.provenance import begin, describe, device_name
from matcg.samples import LETTERS, Sample, read_samples
from matcg.seeds import derive
from matcg.train.attempt import Attempt, Stop, disk_errors, peak_mb
from matcg.train.checkpoint import FORMAT, Store
from matcg.train.checks import check_architecture, check_processor
from matcg.train.lock import held
from matcg.train.record import digest_of, digests_of, parameters_of, peaks_of, seeds_of
from matcg.weights import ADAPTER_CONFIG, part_of


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


def load(weights: str, backbone: Backbone) -> tuple[nn.Module, Any]:
    """Return a backbone's model and processor; only safetensors are read.

    Raises:
        ConfigError: the weights are of another architecture than the backbone says.
    """
    where = {"revision": backbone.revision, "trust_remote_code": backbone.trust_remote_code}
    check_architecture(AutoConfig.from_pretrained(weights, **where), backbone)
    model = AutoModelForImageTextToText.from_pretrained(
        weights, dtype=getattr(torch, backbone.dtype), use_safetensors=True, **where
    )
    return model, AutoProcessor.from_pretrained(weights, **where)


def choose_parameters(model: nn.Module, recipe: Recipe) -> nn.Module:
    """Return the model with just the recipe's parts trainable, with adapters for method lora.

    Raises:
        DataError: a part of the recipe has no parameters in this model.
    """
    names = [name for name, _ in model.named_parameters()]
    chosen = {name for name in names if part_of(name) in recipe.trains}
    for part in recipe.trains:
        if not any(part_of(name) == part for name in names):
            raise DataError(f"recipe trains '{part}', but this model has no such part")
    if recipe.method == "lora":
        return _with_adapters(model, chosen, recipe)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    # At the paper's rates most steps are smaller than bfloat16 can add to a weight: updates are
    # made in float32, and only the arithmetic runs in the backbone's own type.
    return model.float()


def _with_adapters(model: nn.Module, chosen: set[str], recipe: Recipe) -> nn.Module:
    """Return the model with low-rank adapters on the linear layers of the chosen parts."""
    from peft import LoraConfig, get_peft_model  # two seconds, for LoRA only

    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and f"{name}.weight" in chosen and "lm_head" not in name
    ]
    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha or recipe.rank, target_modules=layers
    )
    adapted: nn.Module = get_peft_model(model, config)
    return adapted


def rate_at(step: int, steps: int, recipe: Recipe) -> float:
    """Return the learning rate of a step: linear warm-up, then the recipe's schedule."""
    warm = recipe.warmup * steps
    if step < warm:
        return recipe.learning_rate * min(1.0, (step + 1) / warm)
    progress = (step - warm) / max(1.0, steps - warm)
    shape = {
        "constant": 1.0,
        "linear": 1 - progress,
        "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
    }
    return recipe.learning_rate * shape[recipe.schedule]


def batches(tasks: Sequence[Task], recipe: Recipe, seed: int) -> Iterator[list[Task]]:
    """Yield every epoch's batches; each epoch sees every sample once, in an order of its own."""
    for epoch in range(recipe.epochs):
        generator = torch.Generator().manual_seed(derive(seed, "order", epoch))
        order = torch.randperm(len(tasks), generator=generator).tolist()
        for start in range(0, len(order), recipe.batch_size):
            yield [tasks[i] for i in order[start : start + recipe.batch_size]]


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns samples into a model's input, in the backbone's prompt and image geometry."""

    processor: Any
    backbone: Backbone
    letters: list[int]
    device: torch.device

    def inputs(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Return the processor's tensors, padded on the right."""
        self.processor.tokenizer.padding_side = "right"
        encoded = self.processor(
            text=[prompt_of(sample, self.backbone) for sample in samples],
            # Mllama's processor takes a flat list for the pictures of the first text alone.
            images=[[picture_of(sample, self.backbone)] for sample in samples],
            add_special_tokens=not begins_itself(self.processor.tokenizer, self.backbone),
            padding=True,
            return_tensors="pt",
        )
        return {name: value.to(self.device) for name, value in encoded.items()}

    def targets(self, tasks: Sequence[Task]) -> Tensor:
        """Return the token of each task's letter (n,)."""
        return torch.tensor([self.letters[task.answer] for task in tasks], device=self.device)


def last_logits(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Return logits (n, vocabulary) after each prompt's last token; none are made elsewhere.

    At 32 prompts of 650 tokens the full logits of a 7B model would take gigabytes.
    """
    hidden, head = last_hidden(model, inputs)
    last = inputs["attention_mask"].sum(dim=1) - 1
    rows = torch.arange(len(last), device=last.device)
    logits: Tensor = head(hidden[rows, last]).float()
    return logits


def last_hidden(model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, nn.Module]:
    """Return the last layer's states (n, tokens, width), and what makes logits of them."""
    base: Any = model
    if hasattr(base, "get_base_model"):
        base = base.get_base_model()
    hidden: Tensor = base.model(**inputs, use_cache=False).last_hidden_state
    head: nn.Module = base.get_output_embeddings()
    return hidden, head


def step_loss(
    model: nn.Module, reader: Reader, batch: Sequence[Task], micro: int, step: int
) -> tuple[float, int]:
    """Accumulate the gradient of one batch, `micro` samples at a time.

    Returns:
        The batch's mean loss, and the tokens read: text and image, without padding.

    Raises:
        DataError: the loss is no number; names the step and the samples.
        ResourceError: see `memory_errors`.
    """
    total, tokens = 0.0, 0
    low = getattr(torch, reader.backbone.dtype)
    for start in range(0, len(batch), micro):
        part = batch[start : start + micro]
        with memory_errors(part, step, reader.device):
            inputs = reader.inputs([task.sample for task in part])
            with torch.autocast(reader.device.type, low, enabled=low != torch.float32):
                logits = last_logits(model, inputs)
            summed = functional.cross_entropy(logits, reader.targets(part), reduction="sum")
            loss = summed / len(batch)
            loss.backward()
            total += loss.item()
            tokens += int(inputs["attention_mask"].sum())
    if not math.isfinite(total):
        raise DataError(
            f"loss is {total} at step {step} (samples {ids_of(batch)}); lower the learning rate"
        )
    return total, tokens


def ids_of(tasks: Sequence[Task]) -> str:
    """Return the sample ids of some tasks as one text."""
    return ", ".join(task.sample.sample_id for task in tasks)


@contextmanager
def memory_errors(tasks: Sequence[Task], step: int, device: torch.device) -> Iterator[None]:
    """Say which samples were at hand where memory ends while the body runs, and what to set.

    Raises:
        ResourceError: the device, or the machine, has no memory left.
    """
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise ResourceError(
            f"out of memory on {device.type} at step {step}, with {len(tasks)} samples at a time"
            f" ({ids_of(tasks)}). Set `micro_batch` in the backbone's resources to less than"
            f" {len(tasks)} (the recipe's batch stays what it is); where it is 1, a larger device"
            " or method lora is needed"
        ) from None


# What PyTorch's allocator, C++, the system's calls and oneDNN say, each as a RuntimeError.
NO_MEMORY = (
    *("DefaultCPUAllocator", "bad_alloc", "Cannot allocate memory"),
    *("could not create a memory object", "could not create a primitive"),
)


def out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error, or one that it was raised for, says that memory has ended."""
    while error is not None:
        # On a CPU torch raises no type of its own; image processors raise another error on top.
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        if getattr(error, "errno", None) == errno.ENOMEM or any(
            words in str(error) for words in NO_MEMORY
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def train(
    model: nn.Module,
    reader: Reader,
    tasks: Sequence[Task],
    recipe: Recipe,
    seed: int,
    attempt: Attempt,
) -> None:
    """Train in place, from where the last try of this run stopped; the metrics are the attempt's.

    A row is one step: step, loss, learning rate, samples and tokens a second, peak memory in MB.

    Raises:
        StoppedError: the process was asked to stop.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * math.ceil(len(tasks) / recipe.batch_size)
    micro = reader.backbone.resources.micro_batch or recipe.batch_size
    done = attempt.resume(model, optimiser)
    model.train()
    for step, batch in islice(enumerate(batches(tasks, recipe, seed)), done, None):
        start = time.perf_counter()
        rate = rate_at(step, steps, recipe)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss, tokens = step_loss(model, reader, batch, micro, step)
        with memory_errors(batch[:micro], step, reader.device):
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - start
        row = {
            "step": step,
            "loss": loss,
            "lr": rate,
            "samples_per_s": round(len(batch) / seconds, 1),
            "tokens_per_s": round(tokens / seconds),
            "peak_mb": peak_mb(reader.device),
        }
        attempt.note(row, steps)
        attempt.keep(model, optimiser, steps)


def save(model: nn.Module, processor: Any, out: Path, layout: set[str]) -> None:
    """Write a run's weights to a folder that appears whole or not at all.

    Adapters are written as such, without the processor, which is the backbone's own.

    Raises:
        DataError: weights have names that `layout`, the base checkpoint, has not, so that an
            engine that could read the base could not read them.
    """
    whole: Any = model
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    whole.save_pretrained(part)
    if hasattr(whole, "merge_and_unload"):
        _tidy_adapter(part)
    else:
        processor.save_pretrained(part)
        written = weight_names(part)
        # Old checkpoints hold buffers (`inv_freq`) that are no weights any more and are not saved.
        if layout and not written <= layout:
            odd = sorted(written ^ layout)[:3]
            raise DataError(f"{part}: weight names changed on saving ({', '.join(odd)} ...)")
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)


def _tidy_adapter(folder: Path) -> None:
    """Make peft's files the same wherever and whenever they are written: sets are unordered."""
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / ADAPTER_CONFIG
    config = json.loads(file.read_text())
    config["target_modules"] = sorted(config["target_modules"])
    if Path(config["base_model_name_or_path"] or "").is_dir():
        config["base_model_name_or_path"] = None
    file.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def weights_folder(backbone: Backbone) -> Path:
    """Return the folder of a backbone's weights; of a hub name that of the loaded copy."""
    folder = Path(backbone.weights)
    if folder.is_dir():
        return folder
    copy = snapshot_download(backbone.weights, revision=backbone.revision, local_files_only=True)
    return Path(copy)


def weight_names(folder: Path) -> set[str]:
    """Return the names of all tensors in a folder's safetensors files."""
    names: set[str] = set()
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            names |= set(tensors.keys())
    return names


def run_digest(
    mix: Path, tasks: Sequence[Task], backbone: Backbone, recipe: Recipe, seed: int
) -> str:
    """Return the SHA-256 of all that decides a run's weights, what the samples show included.

    Not of `resources`: a try that ran out of memory goes on with a smaller micro-batch.
    """
    known = [FORMAT, versions.FINETUNE, backbone.identity(), recipe.canonical(), seed]
    digest = hashlib.sha256(json.dumps(known).encode() + mix.read_bytes())
    for task in tasks:
        sample = task.sample
        asked = [sample.sample_id, sample.question, sample.options, task.answer]
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
) -> None:
    """Fine-tune `backbone` on `mix`; write weights, metrics.jsonl and provenance.json to `out`.

    What a try has done is kept in `store` (`out/unfinished` if not said) until all three are there,
    at least every so many `minutes` (None: only when asked to stop).

    Raises:
        DataError: a sample is missing or damaged, or training diverged.
        ResourceError: memory or disk did not suffice.
        StoppedError: SIGTERM, SIGUSR1 or SIGINT came, or another process is training this run.
    """
    begin()
    store = store or out / "unfinished"
    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    tasks = read_mix(mix, data)
    run = run_digest(mix, tasks, backbone, recipe, seed)
    with disk_errors(store), held(store / "lock.json") as lock:
        if lock.waited and _finished(out, run):
            print(f"{out}: finished by the process that was waited for", flush=True)
            return
        with Stop() as stop:
            attempt = Attempt(Store(store, run), minutes, stop, lock)
            _produce(mix, data, tasks, backbone, recipe, seed, out, attempt)
            attempt.clear()
    # Another try may wait at the lock in this folder: it then stays.
    with suppress(OSError):
        store.rmdir()


def _finished(out: Path, run: str) -> bool:
    """Return whether the outputs are those of this run; its record is written last."""
    try:
        found = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found.get("run") == run)


def _produce(
    mix: Path,
    data: Path,
    tasks: Sequence[Task],
    backbone: Backbone,
    recipe: Recipe,
    seed: int,
    out: Path,
    attempt: Attempt,
) -> None:
    """Train and write the outputs, the record last."""
    torch.manual_seed(derive(seed, "weights"))
    model, processor = load(backbone.weights, backbone)
    check_processor(processor, backbone)
    device = torch.device("cuda" if backbone.resources.gpu and torch.cuda.is_available() else "cpu")
    model = choose_parameters(model.to(device), recipe)
    letters = letter_tokens(processor.tokenizer, backbone, len(LETTERS))
    reader = Reader(processor, backbone, letters, device)
    train(model, reader, tasks, recipe, seed, attempt)
    attempt.lock.check()
    model = model.to(getattr(torch, backbone.dtype))
    save(model, processor, out / "weights", weight_names(weights_folder(backbone)))
    attempt.finish(out)
    record = describe(
        step="finetune",
        backbone=json.loads(backbone.identity()),
        recipe=recipe.model_dump(mode="json"),
        seed=seed,
        seeds=seeds_of(seed, recipe.epochs),
        mix={"file": mix.name, "sha256": digest_of(mix)},
        data=digests_of(mix, data),
        samples=len(tasks),
        parameters=parameters_of(model),
        letters=dict(zip(LETTERS, letters, strict=False)),
        peak_mb=peaks_of(attempt.rows, device),
        threads=torch.get_num_threads(),
        device=device_name(device.type == "cuda"),
        leased=devices.held(),
        seconds=round(attempt.seconds, 2),
        tries=attempt.tries,
        run=attempt.store.run,
    )
    part = out / "provenance.json.part"
    part.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    part.replace(out / "provenance.json")
