"""A run's lock: one living holder, named; a dead one's is taken over, whatever host it was on."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from matcg.errors import StoppedError
from matcg.train import lock as lock_module
from matcg.train.lock import STALE, Holder, Lock, held, read_holder

WORKFLOW = Path(__file__).parents[2] / "workflow"
LIMIT = 120.0  # seconds; where others load the machine, imports alone take many
Waited = TypeVar("Waited")
HOLD = """
import sys
from pathlib import Path
from matcg.train.lock import held
with held(Path(sys.argv[1])) as lock:
    print("held", lock.waited, flush=True)
    sys.stdin.read()
"""
# Each writes when it comes in and when it goes out, to one file.
TURNS = """
import os, sys, time
from pathlib import Path
from matcg.train import lock
lock.POLL = 0.01
with lock.held(Path(sys.argv[1])):
    with Path(sys.argv[2]).open("a") as stream:
        stream.write(f"{os.getpid()} in\\n")
        stream.flush()
        time.sleep(0.05)
        stream.write(f"{os.getpid()} out\\n")
"""


@contextmanager
def started(code: str, *arguments: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run Python code in a process that ends with the body at the latest."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=WORKFLOW, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def awaited(what: str, wait: Callable[[], Waited]) -> Waited:
    """Return what `wait` returns; a test that has to wait for it too long fails."""
    future: Future[Waited] = Future()

    def run() -> None:
        try:
            future.set_result(wait())
        except BaseException as error:
            future.set_exception(error)

    # It must not keep the tests from ending.
    threading.Thread(target=run, daemon=True).start()
    try:
        return future.result(LIMIT)
    except TimeoutError:
        pytest.fail(f"waited {LIMIT:.0f} s for {what}")


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return awaited(f"a line of process {process.pid}", process.stdout.readline).strip()


def end(process: "subprocess.Popen[str]") -> None:
    """Let a process go on where it holds the lock, and wait for its end."""
    awaited(f"the end of process {process.pid}", partial(process.communicate, ""))


@contextmanager
def holding(path: Path) -> Iterator[Lock]:
    """Hold the lock at `path` while the body runs, as `held` does, and do not wait too long."""
    holds = held(path)
    lock = awaited(f"the lock that {read_holder(path) or 'nobody'} holds", holds.__enter__)
    try:
        yield lock
    finally:
        holds.__exit__(None, None, None)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where a lock goes, outside of any Slurm job."""
    for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "run" / "lock.json"


@pytest.fixture
def beating(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Renew the lock's time of change, as a holder on another host does."""
    monkeypatch.setattr(lock_module, "POLL", 0.01)
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.01):
            with suppress(FileNotFoundError):
                os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    yield
    ended.set()
    thread.join()


def left_by(path: Path, age: float = 0, **changes: object) -> None:
    """Write the lock of another holder whose last sign of life is `age` seconds old."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(replace(Holder.here(), **changes))))  # type: ignore[arg-type]
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))


def test_a_lock_names_its_holder_and_leaves_nothing_behind(path: Path) -> None:
    with holding(path) as lock:
        holder = read_holder(path)
        assert holder == lock.holder
        assert f"process {os.getpid()} on {holder.host} (started " in str(holder)
        assert not lock.waited
        lock.check()
    assert list(path.parent.iterdir()) == []


def test_a_living_holder_here_is_waited_for(path: Path) -> None:
    with started(HOLD, path) as first:
        assert line(first) == "held False"
        with started(HOLD, path) as second:
            assert line(second).startswith(f"waiting for process {first.pid} on ")
            end(first)
            assert line(second) == "held True"
            end(second)


def test_in_a_slurm_job_a_living_holder_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with started(HOLD, path) as first:
        assert line(first) == "held False"
        monkeypatch.setenv("SLURM_JOB_ID", "18")
        said = rf"by process {first.pid} on .*, Slurm job 17"
        with pytest.raises(StoppedError, match=said), holding(path):
            pass
        end(first)


def test_a_killed_holder_is_followed_at_once(path: Path) -> None:
    with started(HOLD, path) as first:
        assert line(first) == "held False"
        first.kill()
        first.wait()
        assert path.exists()
        with holding(path) as lock:
            assert not lock.waited


def test_a_process_that_got_the_dead_ones_number_is_not_the_holder(path: Path) -> None:
    left_by(path, started=1.0)
    with holding(path) as lock:
        assert read_holder(path) == lock.holder


@pytest.mark.usefixtures("beating")
def test_a_holder_elsewhere_that_gives_signs_is_refused(path: Path) -> None:
    left_by(path, host="far", slurm_job="4", age=STALE / 2)
    said = r"process \d+ on far .*Slurm job 4.*call again"
    with pytest.raises(StoppedError, match=said), holding(path):
        pass


@pytest.mark.parametrize("rest", [-1, 1])
def test_a_holder_elsewhere_that_has_fallen_silent_is_followed(
    path: Path, monkeypatch: pytest.MonkeyPatch, rest: int
) -> None:
    monkeypatch.setattr(lock_module, "POLL", 0.01)
    left_by(path, host="far", slurm_job="4", age=STALE - rest)
    with holding(path) as lock:
        assert read_holder(path) == lock.holder


@pytest.mark.usefixtures("beating")
@pytest.mark.parametrize("what", [{"host": "far"}, {"pids": "pid:[1]"}])
def test_processes_of_another_host_or_container_are_not_looked_up(
    path: Path, what: dict[str, str]
) -> None:
    left_by(path, started=1.0, **what)
    with pytest.raises(StoppedError, match="is being trained by"), holding(path):
        pass


def test_a_requeued_job_follows_itself_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by(path, host="far", slurm_job="5", slurm_restart="0")
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with holding(path) as lock:
        assert read_holder(path) == lock.holder


def test_a_lock_that_was_taken_over_is_noticed_and_left_alone(path: Path) -> None:
    with holding(path) as lock:
        left_by(path, host="far")
        with pytest.raises(StoppedError, match=r"taken over by process .* on far"):
            lock.check()
    other = read_holder(path)
    assert other is not None
    assert other.host == "far"


def test_never_two_at_once_even_over_a_dead_ones_lock(path: Path, tmp_path: Path) -> None:
    left_by(path, started=1.0)
    turns = tmp_path / "turns"
    with ExitStack() as stack:
        for process in [stack.enter_context(started(TURNS, path, turns)) for _ in range(6)]:
            end(process)
    said = [entry.split() for entry in turns.read_text().splitlines()]
    assert len(said) == 12
    for (first, came), (second, went) in zip(said[::2], said[1::2], strict=True):
        assert (first, came, went) == (second, "in", "out")
