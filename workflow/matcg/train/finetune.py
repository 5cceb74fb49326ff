"""Fine-tunes a backbone on one mix: transformers on torch, the loss on the answer's letter."""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.utils import logging

from matcg import devices
from matcg.config import Backbone, Recipe
from matcg.errors import DataError
from matcg.prompts import letter_tokens, picture_of, prompt_of
from matcg.provenance import describe, device_name
from matcg.samples import LETTERS, Sample, read_samples
from matcg.seeds import derive

# Parts that a recipe can train, by the names that transformers gives them.
PARTS = {
    "tower": ("vision_tower", "visual", "vision_model"),
    "projector": ("multi_modal_projector", "visual.merger"),
    "llm": ("language_model", "lm_head"),
}


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
    """Return a backbone's model and processor; only safetensors are read."""
    where = {"revision": backbone.revision, "trust_remote_code": backbone.trust_remote_code}
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


def part_of(name: str) -> str:
    """Return the part (tower, projector or llm) that a parameter belongs to."""
    pieces = f".{name}."
    for part in ("projector", "tower"):
        if any(f".{mark}." in pieces for mark in PARTS[part]):
            return part
    return "llm"


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
            images=[picture_of(sample, self.backbone) for sample in samples],
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
    base: Any = model
    if hasattr(base, "get_base_model"):
        base = base.get_base_model()
    hidden = base.model(**inputs, use_cache=False).last_hidden_state
    last = inputs["attention_mask"].sum(dim=1) - 1
    rows = torch.arange(len(last), device=last.device)
    logits: Tensor = base.get_output_embeddings()(hidden[rows, last]).float()
    return logits


def step_loss(
    model: nn.Module, reader: Reader, batch: Sequence[Task], micro: int, step: int
) -> float:
    """Accumulate the gradient of one batch, `micro` samples at a time; return its mean loss.

    Raises:
        DataError: the loss is no number; names the step and the samples.
    """
    total = 0.0
    low = getattr(torch, reader.backbone.dtype)
    for start in range(0, len(batch), micro):
        part = batch[start : start + micro]
        with torch.autocast(reader.device.type, low, enabled=low != torch.float32):
            logits = last_logits(model, reader.inputs([task.sample for task in part]))
        loss = functional.cross_entropy(logits, reader.targets(part), reduction="sum") / len(batch)
        loss.backward()
        total += loss.item()
    if not math.isfinite(total):
        ids = ", ".join(task.sample.sample_id for task in batch)
        raise DataError(f"loss is {total} at step {step} (samples {ids}); lower the learning rate")
    return total


def train(
    model: nn.Module, reader: Reader, tasks: Sequence[Task], recipe: Recipe, seed: int
) -> list[dict[str, float]]:
    """Train in place; return one row a step: step, loss, learning rate, samples a second."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * math.ceil(len(tasks) / recipe.batch_size)
    micro = reader.backbone.resources.micro_batch or recipe.batch_size
    model.train()
    rows: list[dict[str, float]] = []
    for step, batch in enumerate(batches(tasks, recipe, seed)):
        start = time.perf_counter()
        rate = rate_at(step, steps, recipe)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = step_loss(model, reader, batch, micro, step)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        speed = len(batch) / (time.perf_counter() - start)
        rows.append({"step": step, "loss": loss, "lr": rate, "samples_per_s": round(speed, 1)})
    return rows


def save(model: nn.Module, processor: Any, out: Path, layout: set[str]) -> None:
    """Write weights and processor to a folder that appears whole or not at all.

    Raises:
        DataError: the weights' names differ from `layout`, the base checkpoint's, so that an
            engine that could read the base could not read them.
    """
    whole: Any = model
    if hasattr(whole, "merge_and_unload"):
        whole = whole.merge_and_unload()
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    whole.save_pretrained(part)
    processor.save_pretrained(part)
    written = weight_names(part)
    if layout and written != layout:
        odd = sorted(written ^ layout)[:3]
        raise DataError(f"{part}: weight names changed on saving ({', '.join(odd)} ...)")
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)


def weight_names(folder: Path) -> set[str]:
    """Return the names of all tensors in a folder's safetensors files (none for a hub name)."""
    names: set[str] = set()
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            names |= set(tensors.keys())
    return names


def finetune(
    mix: Path, data: Path, backbone: Backbone, recipe: Recipe, seed: int, out: Path, threads: int
) -> None:
    """Fine-tune `backbone` on `mix`; write weights, metrics.jsonl and provenance.json to `out`.

    Raises:
        DataError: a sample is missing or damaged, or training diverged.
    """
    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    torch.manual_seed(derive(seed, "weights"))
    start = time.perf_counter()
    tasks = read_mix(mix, data)
    model, processor = load(backbone.weights, backbone)
    device = torch.device("cuda" if backbone.resources.gpu and torch.cuda.is_available() else "cpu")
    model = choose_parameters(model.to(device), recipe)
    letters = letter_tokens(processor.tokenizer, backbone, len(LETTERS))
    reader = Reader(processor, backbone, letters, device)
    rows = train(model, reader, tasks, recipe, seed)
    model = model.to(getattr(torch, backbone.dtype))
    save(model, processor, out / "weights", weight_names(Path(backbone.weights)))
    (out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = describe(
        step="finetune",
        backbone=json.loads(backbone.identity()),
        recipe=recipe.model_dump(mode="json"),
        seed=seed,
        mix={"file": mix.name, "sha256": hashlib.sha256(mix.read_bytes()).hexdigest()},
        samples=len(tasks),
        device=device_name(device.type == "cuda"),
        leased=devices.held(),
        seconds=round(time.perf_counter() - start, 2),
    )
    (out / "provenance.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
