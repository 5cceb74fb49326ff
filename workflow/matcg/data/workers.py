"""Forks that share the work of one job: they have all that it has read, and copy none of it."""

import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from matcg.errors import ResourceError
from matcg.processes import end_with

_GIVEN: list[Callable[[Any], Any]] = []  # the work of this process, where it is a fork

A = TypeVar("A")
B = TypeVar("B")


@contextmanager
def forked(work: Callable[[A], B], number: int) -> Iterator[Callable[[A], Future[B]]]:
    """Yield what hands an argument of `work` to one of so many forks, for its result.

    Arguments and results are pickled; `work` need not be, and changes nothing that this process
    sees. macOS' own libraries do not go on in a fork: there it is threads that work.

    Raises:
        ResourceError: a fork was killed.
    """
    pool: ProcessPoolExecutor | ThreadPoolExecutor
    if sys.platform == "linux":
        fork = multiprocessing.get_context("fork")
        pool, do = ProcessPoolExecutor(number, fork, _begin, (work, os.getpid())), _do
    else:
        pool, do = ThreadPoolExecutor(number), work
    try:
        yield lambda argument: pool.submit(do, argument)
    except BrokenProcessPool:
        raise ResourceError(
            f"one of {number} processes that shared this job's work was killed, for lack of memory"
            " perhaps; call again, with more memory or fewer cores"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(work: Callable[[Any], Any], parent: int) -> None:
    """Be a fork: end with the job, and leave its objects where they are."""
    end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for all, and the job's to answer
    gc.freeze()  # what collecting looks at is copied
    _GIVEN.append(work)


def _do(argument: Any) -> Any:
    return _GIVEN[-1](argument)
