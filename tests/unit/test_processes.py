"""A process whose parent has ended ends too; that of a parent that is killed: data/test_workers."""

import os
from multiprocessing import get_context

import pytest

from matcg.processes import end_with


@pytest.mark.parametrize(("off", "status"), [(0, 0), (1, 1)])
def test_a_process_that_is_no_child_of_its_parent_any_more_ends(off: int, status: int) -> None:
    child = get_context("fork").Process(target=end_with, args=(os.getpid() + off,))
    child.start()
    child.join()
    assert child.exitcode == status
