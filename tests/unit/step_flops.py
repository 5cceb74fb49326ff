"""Two counts of what a fine-tuning step takes: PyTorch's, of what it did, and ours."""

from collections.abc import Sequence

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from matcg.models.flops import Work
from matcg.train.batches import Collator
from matcg.train.tasks import TrainingSample
from training import one_step


def counted(model: nn.Module, reader: Collator, tasks: Sequence[TrainingSample]) -> int:
    """Return PyTorch's count, each prompt alone and so without padding.

    Attention is computed as products of matrices: of its other kernels for CPUs nothing is counted.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        one_step(model, reader, tasks, micro=1)
    return int(counter.get_total_flops())


def ours(model: nn.Module, reader: Collator, tasks: Sequence[TrainingSample]) -> float:
    """Return our count of the same; the prompts' lengths differ, or squares would go untested."""
    alone = reader.ready([[task] for task in tasks])
    tokens = [inputs.lengths[0] for inputs in alone]
    assert len(set(tokens)) == len(tokens)
    work = Work.of(model, reader.backbone.image.size)
    assert work is not None
    return work.flops(tokens, len(tokens), sum(len(inputs.answers[0]) for inputs in alone))
