"""One step of training, without a run around it."""

from collections.abc import Sequence
from functools import partial

import torch

from matcg.models.loading import AnswerLogits
from matcg.train.batches import Collator
from matcg.train.loop import Totals, step_loss, step_of
from matcg.train.parallel import World
from matcg.train.tasks import TrainingSample


def one_step(
    model: torch.nn.Module,
    reader: Collator,
    tasks: Sequence[TrainingSample],
    micro: int,
    number: int = 0,
) -> Totals:
    """Accumulate the gradient of some tasks in `model`, so many at a time; return the totals."""
    world = World(torch.device("cpu"))
    step = step_of(number, tasks, micro, world)
    return step_loss(AnswerLogits(model), reader, step, partial(reader.ready, step.parts), world)
