"""The training loop: steps of one batch each, in parts that the device has memory for."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from matcg.config.backbone import Recipe
from matcg.errors import DataError, ResourceError
from matcg.models.flops import Work, peak_flops
from matcg.models.loading import AnswerLogits
from matcg.models.memory import out_of_memory
from matcg.train.batches import Collator, Inputs, ahead
from matcg.train.parallel import World, average_gradients
from matcg.train.tasks import TrainingSample, batches, ids_of
from matcg.train.training_state import Attempt, MetricsRow, peak_mb

Mean = Literal["samples", "tokens"]  # what the loss is a mean over, as a recipe says


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


@dataclass(frozen=True, slots=True)
class Step:
    """One batch, and this process's parts of it; the last `idle` parts are there for company only.

    Sharded weights are put together by all processes at a time, so each needs as many parts.
    """

    number: int
    batch: Sequence[TrainingSample]
    parts: list[list[TrainingSample]]
    idle: int = 0


def step_of(
    number: int,
    batch: Sequence[TrainingSample],
    micro: int,
    world: World,
    told: Callable[[TrainingSample], str] = lambda _: "",
) -> Step:
    """Return what this process does of a batch, `micro` samples at a time.

    Where a batch is cut at all, samples of about the same length come together, which spares
    padding; the batch's gradient does not depend on that. `told` gives an answer's text.
    """
    tasks = list(batch)
    if micro < len(tasks) or world.size > 1:
        tasks.sort(key=lambda task: _length(task) + len(told(task)))
    own = tasks[world.rank :: world.size]
    parts = [own[start : start + micro] for start in range(0, len(own), micro)]
    most = math.ceil(math.ceil(len(tasks) / world.size) / micro)
    idle = most - len(parts)
    return Step(number, batch, parts + [tasks[:1]] * idle, idle)


def _length(task: TrainingSample) -> int:
    """Return the characters of a question: all that prompts of one backbone differ in."""
    return len(task.sample.question) + sum(map(len, task.sample.options))


@dataclass(slots=True)
class Totals:
    """Of one step, over all processes: its mean loss, tokens read without padding, FLOPs, seconds.

    `flops` are what the model asks for (`models/flops.py`), 0 where that is not known.
    """

    loss: float = 0.0
    tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0


def step_loss(
    model: nn.Module,
    reader: Collator,
    step: Step,
    ready: Callable[[], list[Inputs]],
    world: World,
    work: Work | None = None,
    by: Mean = "samples",
) -> Totals:
    """Accumulate the gradient of one batch, a part at a time.

    Args:
        model: returns logits (tokens, vocabulary) where the answers are said.
        ready: returns the inputs of the step's parts.
        by: over what of the whole batch the loss is a mean.

    Raises:
        DataError: the loss is no number; names the step and the samples.
        ResourceError: see `memory_errors`.
    """
    tokens, flops = 0, 0.0
    loss = torch.zeros((), dtype=torch.float64, device=world.device)
    with memory_errors(step.parts[0], step.number, world.device):
        parts = ready()
    sizes = [sum(map(len, part.answers)) for part in parts]
    own = len(parts) - step.idle
    whole = float(len(step.batch)) if by == "samples" else world.sum(sum(sizes[:own]))[0]
    for number, part in enumerate(parts):
        counts = number < own
        with memory_errors(part.tasks, step.number, world.device):
            loss += _backward(model, reader, part, whole, by, world, counts)
        tokens += sum(part.lengths) * counts
        done = work.flops(part.lengths, len(part.tasks), sizes[number]) if work else 0
        flops += done * counts
    mean, read, done = world.sum(loss.item(), tokens, flops)
    if not math.isfinite(mean):
        raise DataError(
            f"loss is {mean} at step {step.number} (samples {ids_of(step.batch)}); lower the"
            " learning rate"
        )
    return Totals(mean, int(read), done)


@contextmanager
def memory_errors(
    tasks: Sequence[TrainingSample], step: int, device: torch.device
) -> Iterator[None]:
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
            f" ({ids_of(tasks)}). In the backbone's resources set `micro_batch` to less than"
            f" {len(tasks)} (the recipe's batch stays as it is) or `gradient_checkpointing: true`;"
            " where neither is enough, more devices (`gpu`), larger ones or method lora are needed"
        ) from None


def _backward(
    model: nn.Module,
    reader: Collator,
    part: Inputs,
    whole: float,
    by: Mean,
    world: World,
    counts: bool,
) -> torch.Tensor:
    """Add a part's gradient; return its share of the loss, a mean over so much of the batch."""
    low = getattr(torch, reader.backbone.dtype)
    # Sharded weights are cast where they are put together.
    cast = low != torch.float32 and world.mesh is None
    with torch.autocast(world.device.type, low, enabled=cast):
        logits = model(reader.sent(part.tensors), [len(ids) for ids in part.answers])
    loss = _summed(logits, part.answers, by) * counts / whole
    # Processes' gradients are averaged, and what is wanted is their sum.
    (loss * world.size).backward()
    return loss.detach()


def _summed(logits: torch.Tensor, answers: Sequence[Sequence[int]], by: Mean) -> torch.Tensor:
    """Return the loss summed over answers, of each the mean over its tokens, or over all tokens."""
    targets = torch.tensor(list(chain(*answers)), device=logits.device)
    if by == "tokens" or len(targets) == len(answers):
        return functional.cross_entropy(logits, targets, reduction="sum")
    shares = [1 / len(ids) for ids in answers for _ in ids]
    losses = functional.cross_entropy(logits, targets, reduction="none")
    return losses @ torch.tensor(shares, device=logits.device)


def train(
    model: AnswerLogits,
    reader: Collator,
    tasks: Sequence[TrainingSample],
    recipe: Recipe,
    seed: int,
    attempt: Attempt,
    work: Work | None = None,
) -> None:
    """Train in place, from where the last try of this run stopped; the metrics are the attempt's.

    A row is one step: step, loss, learning rate, samples and tokens a second, the share of all
    devices' peak arithmetic that `work` took, None where either is unknown, peak memory in MB.

    Raises:
        StoppedError: the process was asked to stop.
    """
    world = attempt.world
    parameters = [p for p in model.parameters() if p.requires_grad]
    # Fused: one call a step, not a dozen for each parameter.
    optimiser = torch.optim.AdamW(parameters, weight_decay=recipe.weight_decay, fused=True)
    steps = recipe.epochs * math.ceil(len(tasks) / recipe.batch_size)
    micro = reader.backbone.resources.micro_batch or recipe.batch_size
    peak = peak_flops(world.device, getattr(torch, reader.backbone.dtype))
    done = attempt.resume(model.model, optimiser)
    model.train()
    wanted = islice(enumerate(batches(tasks, recipe, seed)), done, None)
    todo = (step_of(number, batch, micro, world, reader.told) for number, batch in wanted)
    for step, ready in ahead(
        lambda step: reader.ready(step.parts), todo, reader.pictures.workers > 0
    ):
        start = time.perf_counter()
        rate = rate_at(step.number, steps, recipe)
        for group in optimiser.param_groups:
            group["lr"] = rate
        totals = step_loss(model, reader, step, ready, world, work, recipe.loss)
        average_gradients(parameters, world)
        with memory_errors(step.parts[0], step.number, world.device):
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        totals.seconds = time.perf_counter() - start
        attempt.note(row_of(step, totals, rate, world, peak), steps)
        attempt.keep(model.model, optimiser, steps)


def row_of(step: Step, totals: Totals, rate: float, world: World, peak: float | None) -> MetricsRow:
    """Return a step's metrics; `peak` is the most FLOPs a second of each device."""
    could = peak * world.size * totals.seconds if peak else 0
    return {
        "step": step.number,
        "loss": totals.loss,
        "lr": rate,
        "samples_per_s": round(len(step.batch) / totals.seconds, 1),
        "tokens_per_s": round(totals.tokens / totals.seconds),
        "mfu": round(totals.flops / could, 4) if could and totals.flops else None,
        "peak_mb": peak_mb(world.device),
    }
