"""One step of training, without a run around it."""

from collections.abc import Sequence
from functools import partial

import torch

from matcg.models.loading import Answers
from matcg.train.batches import Reader
from matcg.train.loop import Totals, step_loss, step_of
from matcg.train.parallel import World
from matcg.train.tasks import Task


def one_step(
    model: torch.nn.Module, reader: Reader, tasks: Sequence[Task], micro: int, number: int = 0
) -> Totals:
    """Accumulate the gradient of some tasks in `model`, so many at a time; return the totals."""
    world = World(torch.device("cpu"))
    step = step_of(number, tasks, micro, world)
    return step_loss(Answers(model), reader, step, partial(reader.ready, step.parts), world)
