"""Says which samples were at hand where memory ends, and what to set."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from matcg.errors import ResourceError
from matcg.train.tasks import Task, ids_of


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
            f" ({ids_of(tasks)}). In the backbone's resources set `micro_batch` to less than"
            f" {len(tasks)} (the recipe's batch stays as it is) or `gradient_checkpointing: true`;"
            " where neither is enough, more devices (`gpu`), larger ones or method lora are needed"
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
