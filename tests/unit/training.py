"""One step of training, without a run around it, and the same loss by transformers alone."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import torch

from data_makers import sample
from matcg import forms
from matcg.models.loading import AnswerLogits
from matcg.models.prompts import begins_itself, prompt_of
from matcg.train.batches import Collator
from matcg.train.loop import Mean, Totals, step_loss, step_of
from matcg.train.parallel import World
from matcg.train.tasks import TrainingSample

PLUGGED = Path(__file__).parent / "forms" / "plugged"


@pytest.fixture
def mixed(monkeypatch: pytest.MonkeyPatch) -> list[TrainingSample]:
    """Return tasks of two forms: letters, of one token each, and numbers of one to three digits."""
    monkeypatch.setattr(forms, "__path__", [*forms.__path__, str(PLUGGED)])
    numbers = ("7", "123", "45", "6")
    samples = [sample(n, n_, options=(n_,), form="number") for n, n_ in enumerate(numbers)]
    letters = [sample(9 + n, "no", question="Well or not? " * n) for n in range(3)]
    each = [s for pair in zip(samples, [*letters, None], strict=True) for s in pair if s]
    return [TrainingSample(s, forms.of(s).truth(s)) for s in each]


def one_step(
    model: torch.nn.Module,
    reader: Collator,
    tasks: Sequence[TrainingSample],
    micro: int,
    number: int = 0,
    by: Mean = "samples",
    world: World | None = None,
) -> Totals:
    """Accumulate the gradient of some tasks in `model`, so many at a time; return the totals."""
    world = world or World(torch.device("cpu"))
    step = step_of(number, tasks, micro, world, reader.told)
    ready = partial(reader.ready, step.parts)
    return step_loss(AnswerLogits(model), reader, step, ready, world, None, by)


def plain_loss(
    model: torch.nn.Module, reader: Collator, task: TrainingSample
) -> tuple[torch.Tensor, int]:
    """Return transformers' own loss of one task, labels of all but the answer -100, and its tokens.

    A letter is one token; a number has one more than digits, which ends the text.
    """
    tokenizer, told = reader.processor.tokenizer, reader.told(task)
    end = "" if told.isalpha() else tokenizer.eos_token
    inputs = reader.processor(
        text=[f"{prompt_of(task.sample, reader.backbone)} {told}{end}"],
        images=[reader.pictures.of([task.sample])],
        add_special_tokens=not begins_itself(tokenizer, reader.backbone),
        return_tensors="pt",
    )
    size = len(told) + bool(end)
    labels = inputs["input_ids"].clone()
    labels[:, :-size] = -100
    return model(**inputs, labels=labels).loss, size


def gradient(model: torch.nn.Module) -> torch.Tensor:
    """Return the gradient of all parameters as one vector, and forget it."""
    found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    model.zero_grad(set_to_none=True)
    return torch.cat(found)
