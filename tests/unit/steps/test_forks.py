"""A script that a fork runs ends as one that runs by itself, and nothing is left of either."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from matcg.config.backbone import Backbone, Recipe
from matcg.config.library import load
from matcg.config.workflow import Engine
from matcg.evaluate import start as engines
from matcg.steps import forks
from matcg.steps.fork_server import Server, import_needs
from matcg.steps.specs import FinetuneSpec, PredictSpec

ROOT = Path(__file__).parents[3]
LIMIT = 60.0  # seconds for what takes a moment where nothing else runs
# What Snakemake puts before a script, as far as forks look at it, and a script that says who it is.
SCRIPT = """
import sys
__real_file__, __file__ = __file__, "{workflow}/scripts/{step}.py"
sys.path.insert(0, "{workflow}")
import os, signal, time
from types import SimpleNamespace
from matcg.steps.forks import hand_over
params, log = {{"spec": {spec!r}}}, [__real_file__ + ".log"]
told = SimpleNamespace(resources={resources}, params=params, log=log)
hand_over(told)
print(os.getpid(), os.getppid(), flush=True)
{body}
"""
WAITS = "time.sleep(600)"
Job = subprocess.Popen[str]


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Let jobs hear SIGHUP, also where these tests run under nohup, which jobs would inherit."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[bytes]"]:
    """Return a server for the jobs of this process; it ends with the test."""
    monkeypatch.setenv(forks.ADDRESS, "")
    monkeypatch.setattr(forks, "_SERVERS", [])
    forks.start_server()
    (process,) = forks._SERVERS
    assert process.stdin
    with process, process.stdin:
        yield process


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Return a function that starts a job's script in a process of its own."""
    jobs: list[Job] = []

    def run(
        body: str = "",
        step: str = "mix",
        gpu: int = 0,
        spec: str = "",
        library: Path = ROOT,
        prefix: tuple[str, ...] = (),
        **environment: str,
    ) -> Job:
        script = tmp_path / f"{len(jobs)}.{step}.py"
        workflow, resources = str(library / "workflow"), {"gpu": gpu}
        told = {"workflow": workflow, "resources": resources, "spec": spec}
        script.write_text(SCRIPT.format(step=step, body=body, **told))
        pipe = subprocess.PIPE
        job = subprocess.Popen(
            [*prefix, sys.executable, str(script)],
            env={**os.environ, **environment},
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        jobs.append(job)
        return job

    yield run
    for job in jobs:
        job.kill()
        job.communicate()


def first_line(job: Job) -> tuple[int, int]:
    """Return the process that runs a job's script, and the one that started that."""
    assert job.stdout
    pid, parent = map(int, job.stdout.readline().split())
    return pid, parent


def by_fork(job: Job) -> bool:
    """Tell whether another process than the job's own runs its script."""
    pid, parent = first_line(job)
    return pid != job.pid and "matcg.steps.fork_server" in psutil.Process(parent).cmdline()


def wait_for_end(pid: int) -> None:
    """Wait until there is no such process any more; fail where it stays."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} is still there")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('too large')", 1, "too large\n"),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
    ],
)
def test_a_job_ends_as_its_fork(
    start: Callable[..., Job], body: str, status: int, said: str
) -> None:
    job = start(body)
    assert first_line(job)[0] != job.pid
    assert job.communicate(timeout=LIMIT) == ("", said)
    assert job.returncode == status


@pytest.mark.usefixtures("server")
def test_a_fork_shows_the_traceback_of_its_script(start: Callable[..., Job]) -> None:
    job = start("{}['x']")
    _, errors = job.communicate(timeout=LIMIT)
    assert errors.endswith("KeyError: 'x'\n")
    assert job.returncode == 1


@pytest.mark.usefixtures("server")
def test_a_mistake_is_a_line_on_the_terminal_and_in_the_log(start: Callable[..., Job]) -> None:
    job = start(
        "from matcg.errors import DataError\nfrom matcg.steps.script import of_job\n"
        "with of_job(told):\n    print('read')\n    raise DataError('x.png: truncated')"
    )
    _, errors = job.communicate(timeout=LIMIT)
    log = Path(f"{list(job.args)[1]}.log")
    assert (job.returncode, errors) == (1, f"matcg: x.png: truncated (log: {log})\n")
    assert log.read_text() == "read\nerror: x.png: truncated\n"


@pytest.mark.usefixtures("server")
def test_two_jobs_run_at_once_and_get_their_own_signals(start: Callable[..., Job]) -> None:
    noted = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nprint('ready', flush=True)\n"
    jobs = [start(noted + WAITS) for _ in range(2)]
    assert [by_fork(job) for job in jobs] == [True, True]
    for job in jobs:
        assert job.stdout
        assert job.stdout.readline() == "ready\n"
    jobs[0].terminate()
    assert jobs[0].wait(LIMIT) == 7
    assert jobs[1].poll() is None
    jobs[1].send_signal(signal.SIGHUP)
    assert jobs[1].wait(LIMIT) == -signal.SIGHUP


@pytest.mark.usefixtures("server")
def test_what_the_job_ignores_its_fork_ignores(start: Callable[..., Job]) -> None:
    shown = "print(*(signal.getsignal(n).name for n in (signal.SIGHUP, signal.SIGTERM)))"
    job = start(shown, prefix=("nohup",))
    assert first_line(job)[0] != job.pid
    assert job.stdout
    assert job.stdout.read() == "SIG_IGN SIG_DFL\n"


@pytest.mark.usefixtures("server")
def test_a_killed_job_takes_its_fork_with_it(start: Callable[..., Job]) -> None:
    job = start(WAITS)
    pid, _ = first_line(job)
    job.kill()
    wait_for_end(pid)


@pytest.mark.usefixtures("server")
def test_a_killed_server_fails_its_jobs_and_is_followed(start: Callable[..., Job]) -> None:
    job = start(WAITS)
    pid, parent = first_line(job)
    assert parent != os.getpid(), "the job has run its script itself"
    os.kill(parent, signal.SIGKILL)
    assert job.wait(LIMIT) == 1
    assert job.stderr
    assert "the process whose fork ran this job was killed" in job.stderr.read()
    wait_for_end(pid)
    assert by_fork(start())


def test_the_server_ends_with_snakemake_and_its_last_job(
    server: "subprocess.Popen[bytes]", start: Callable[..., Job]
) -> None:
    job = start(WAITS)
    _, parent = first_line(job)
    assert server.stdin
    server.stdin.close()
    time.sleep(0.2)
    assert psutil.pid_exists(parent)
    job.terminate()
    assert job.wait(LIMIT) == -signal.SIGTERM
    assert server.wait(LIMIT) == 0
    wait_for_end(parent)
    assert first_line(start())[0] != parent  # and a job that comes too late runs by itself


@pytest.mark.usefixtures("server")
@pytest.mark.skipif(os.getuid() != 0, reason="needs the right to be another user")
def test_another_user_is_not_served() -> None:
    code = (
        "import socket, sys\nserver = socket.socket(socket.AF_UNIX)\n"
        "server.connect(chr(0) + sys.argv[1])\nprint(server.recv(9))"
    )
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-c", code, os.environ[forks.ADDRESS]],
        user=65534,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "b'0\\n'\n", done.stderr


@pytest.mark.usefixtures("server")
def test_what_differs_runs_by_itself(start: Callable[..., Job], tmp_path: Path) -> None:
    assert by_fork(start(WAITS))
    assert not by_fork(start(OMP_NUM_THREADS="3"))
    assert not by_fork(start(gpu=1))
    shutil.copytree(ROOT / "workflow/matcg", tmp_path / "workflow/matcg")
    assert not by_fork(start(library=tmp_path))


def asked(engine: str, **settings: object) -> PredictSpec:
    """Return what a job of predictions is told, as far as a server looks at it."""
    told = load("backbone", ROOT / "backbones/tiny-llava.yaml").model_dump(exclude_unset=True)
    backbone = Backbone.model_validate({**told, "engine": engine})
    return PredictSpec(backbone=backbone, engine=Engine(**settings), protocols={}, asked={})


@pytest.mark.usefixtures("server")
def test_predictions_have_a_server_of_their_own_which_imports_one_engine(
    start: Callable[..., Job],
) -> None:
    spec = asked("transformers").canonical()
    jobs = [start(WAITS), *(start(WAITS, step="predict", spec=spec) for _ in range(2))]
    usual, alone, also = (first_line(job)[1] for job in jobs)
    assert alone == also
    assert len({usual, alone, os.getpid()}) == 3
    assert not by_fork(start(step="predict", spec=asked("vllm").canonical()))


def test_what_an_engine_reads_on_import_is_as_the_first_job_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Reads:
        @staticmethod
        def prepare(_backbone: Backbone, settings: dict[str, object]) -> None:
            os.environ["READ_ON_IMPORT"] = str(settings["enforce_eager"])

    monkeypatch.setenv("READ_ON_IMPORT", "")
    monkeypatch.setattr(engines, "engine_of", lambda _: Reads)
    script, server = ROOT / "workflow/scripts/predict.py", Server(socket.socket())
    with server.listener:
        for settings, able in (({}, True), ({"enforce_eager": False}, False), ({}, True)):
            assert server.prepare_engine(script, asked("vllm", **settings)) == able
            assert os.environ["READ_ON_IMPORT"] == "True"


def test_none_is_started_where_none_is_wanted(
    monkeypatch: pytest.MonkeyPatch, start: Callable[..., Job]
) -> None:
    monkeypatch.setenv(forks.ADDRESS, "no")
    monkeypatch.setattr(forks, "_SERVERS", [])
    forks.start_server()
    assert not forks._SERVERS
    assert not by_fork(start())


WORDS = ("{weights}", "{data}", "{questions}", "{out}")
COMMANDS = {"train": WORDS, "answer": WORDS, "version": "1"}


@pytest.mark.parametrize(
    "changes", [{"dtype": "bfloat16"}, {"engine": "command", "commands": COMMANDS}]
)
def test_what_a_run_needs_otherwise_is_not_imported(changes: dict[str, object]) -> None:
    told = load("backbone", ROOT / "backbones/tiny-llava.yaml").model_dump(exclude_unset=True)
    backbone = Backbone.model_validate({**told, **changes})
    recipe = Recipe(learning_rate=1, epochs=1, batch_size=1)
    spec = FinetuneSpec(backbone=backbone, recipe=recipe, checkpoint_minutes=1)
    assert not import_needs(ROOT / "workflow/scripts/finetune.py", spec.canonical())
