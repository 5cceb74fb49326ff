"""Work that is shared with forks comes back as if it were done here, and none outlives its job."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matcg.data import workers
from matcg.data.question_table import Pictures
from matcg.data.workers import forked
from matcg.errors import ResourceError

LIBRARY = Path(workers.__file__).parents[2]
# A process that says who its forks are, and waits for them without end.
ENDLESS = """
import os, time
from matcg.data.workers import forked

def told(_):
    os.write(1, f"{os.getpid()}\\n".encode())  # at once, unlike print
    time.sleep(600)

with forked(told, 2) as hand_out:
    [each.result() for each in [hand_out(n) for n in range(2)]]
"""


def done(work: Callable[[int], Any], count: int, forks: int = 2) -> list[Any]:
    """Return what forks make of the first numbers."""
    with forked(work, forks) as hand_out:
        return [each.result() for each in [hand_out(n) for n in range(count)]]


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_results_are_those_of_the_same_work_here(monkeypatch, platform):
    monkeypatch.setattr(workers.sys, "platform", platform)
    known = [lambda n=n: n * n for n in range(9)]  # which no pickle holds
    found = done(lambda n: (known[n](), os.getpid()), 9)
    assert [square for square, _ in found] == [n * n for n in range(9)]
    assert (os.getpid() in {process for _, process in found}) == (platform == "darwin")


def test_what_goes_wrong_in_a_fork_goes_wrong_here():
    with pytest.raises(ZeroDivisionError):
        done(lambda n: 1 // n, 9)


def test_a_fork_that_is_killed_ends_the_work_with_an_error():
    with pytest.raises(ResourceError, match=r"one of 2 processes that shared .* was killed"):
        done(lambda n: n == 3 and os.kill(os.getpid(), signal.SIGKILL), 9)


def test_what_was_not_begun_is_dropped_after_an_error(tmp_path):
    def work(n: int) -> None:
        (tmp_path / str(n)).touch()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        done(work, 1000, 1)
    assert len(list(tmp_path.iterdir())) < 1000


def test_forks_end_with_a_process_that_is_killed():
    words = [sys.executable, "-c", ENDLESS]
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        forks = [int(process.stdout.readline()) for _ in range(2)]
        process.kill()
        process.stdout.read()  # ends with the last process that holds it
    assert process.pid not in forks
    assert len(set(forks)) == 2


def test_forks_read_pictures_that_a_table_holds():
    pictures = Pictures()
    names = [pictures.keep(bytes([n]) * 50) for n in range(9)]
    pictures.flush()
    assert done(lambda n: pictures.read(names[n]), 9, 3) == [bytes([n]) * 50 for n in range(9)]
