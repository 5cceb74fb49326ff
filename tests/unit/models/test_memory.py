"""Errors that say that memory has ended, on whichever device and however deep they come from."""

import errno

import pytest
import torch

from data_makers import sample
from matcg.errors import ResourceError
from matcg.models.memory import out_of_memory
from matcg.train.loop import memory_errors
from matcg.train.tasks import TrainingSample


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("could not create a primitive descriptor"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
    ],
)
def test_errors_without_memory_are_told_from_others_also_below_another_error(error, expected):
    assert out_of_memory(error) == expected
    above = ValueError("cannot make a batch")
    above.__context__ = error
    assert out_of_memory(above) == expected


def test_samples_at_hand_and_remedy_are_named_and_other_errors_pass():
    tasks, cpu = [TrainingSample(sample(number), 0) for number in range(2)], torch.device("cpu")
    said = r"on cpu at step 7, with 2 samples at a time \(s-0, s-1\).*`micro_batch` to less than 2"
    with pytest.raises(ResourceError, match=said), memory_errors(tasks, 7, cpu):
        raise MemoryError
    with pytest.raises(KeyError), memory_errors(tasks, 7, cpu):
        raise KeyError("x")
