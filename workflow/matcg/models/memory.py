"""Tells errors that say that memory has ended, on whichever device, from others."""

import errno

import torch

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
