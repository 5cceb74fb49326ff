"""The processes that fork for jobs: `python -m matcg.steps.fork_server LISTENER...`, one for each.

Each waits, small, until a job asks (`forks.hand_over`). A fork of it then imports what the job's
step needs and forks for this job and those that follow, until none has come for a while. Both
compute nothing, since a fork has but one thread. Stdin ends with the Snakemake whose jobs they run.
"""

import ast
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matcg.steps.forks import ADDRESS, ALONE, SIGNALS, code_state, is_own
from matcg.steps.specs import FinetuneSpec, PredictSpec

IDLE = 20.0  # seconds without a job until what was imported is let go
PATIENCE = 30.0  # seconds that a job has for what it asks


@dataclass(frozen=True, slots=True)
class Fork:
    """A job's process, the job's end of the socket, and a pipe that ends with the process."""

    pid: int
    job: socket.socket
    life: int


class Server:
    """Forks for jobs that have the environment and the library of the first one."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.code = code_state()
        self.environment: dict[str, str] | None = None
        self.imported_in = dict[str, str]()
        self.engine: str | None = None
        self.forks: list[Fork] = []

    def serve(self) -> None:
        """Serve until no job has come for a while, or Snakemake and the last job have ended."""
        snakemake = [0]
        while snakemake or self.forks:
            jobs: dict[int, Fork] = {fork.job.fileno(): fork for fork in self.forks}
            lives = {fork.life: fork for fork in self.forks}
            waited = [self.listener.fileno(), *snakemake, *jobs, *lives]
            ready, _, _ = select.select(waited, [], [], None if self.forks else IDLE)
            if not ready:
                return
            if 0 in ready:
                snakemake = []
            for fork in [lives[number] for number in ready if number in lives]:
                self._tell_end(fork)
            for fork in [jobs[number] for number in ready if number in jobs]:
                if fork in self.forks:  # the job has ended without it, however that was
                    os.kill(fork.pid, signal.SIGKILL)
                    self._tell_end(fork)
            if self.listener.fileno() in ready:
                self._answer(self.listener.accept()[0])

    def _tell_end(self, fork: Fork) -> None:
        self.forks.remove(fork)
        _, status = os.waitpid(fork.pid, 0)
        _say(fork.job, os.waitstatus_to_exitcode(status))
        fork.job.close()
        os.close(fork.life)

    def _answer(self, job: socket.socket) -> None:
        """Fork for a job, or say 0 where it has to run by itself."""
        job.settimeout(PATIENCE)
        able, asked = False, dict[str, Any]()
        descriptors: list[int] = []
        # A job that is gone, or an import that fails: the job shows why.
        with suppress(Exception):
            if is_own(job):
                _, descriptors, _, _ = socket.recv_fds(job, 1, 3)
                with job.makefile() as lines:
                    asked = json.loads(lines.readline())
                able = self._prepare(asked)
        if able:
            self._fork(job, asked, descriptors)
        else:
            _say(job, 0)
            job.close()
        for number in descriptors:
            os.close(number)

    def _prepare(self, asked: dict[str, Any]) -> bool:
        """Import what a job's step needs; return False where its process would not be like ours."""
        if self.environment is None:
            self.environment = asked["environment"]
            os.environ.clear()
            os.environ.update(self.environment)
            del os.environ[ADDRESS]
        if (asked["environment"], asked["code"]) != (self.environment, self.code):
            return False
        script = Path(asked["source"])
        if script.stem == ALONE:
            return self.prepare_engine(script, PredictSpec.model_validate_json(asked["spec"]))
        return import_needs(script, asked["spec"])

    def prepare_engine(self, script: Path, asked: PredictSpec) -> bool:
        """Import an engine's library; return False where that of another, or of other settings, is.

        Some settings are variables that are read on import.
        """
        self.engine = self.engine or asked.backbone.engine
        if asked.backbone.engine != self.engine:
            return False
        import_all_of(script)
        importlib.import_module("matcg.evaluate.start").prepare_engine(
            asked.backbone, asked.engine.model_dump(mode="json")
        )
        self.imported_in = self.imported_in or dict(os.environ)
        alike = self.imported_in == dict(os.environ)
        os.environ.clear()
        os.environ.update(self.imported_in)
        return alike

    def _fork(self, job: socket.socket, asked: dict[str, Any], descriptors: list[int]) -> None:
        life, held = os.pipe()
        gc.freeze()
        pid = os.fork()
        if not pid:
            for fork in self.forks:
                fork.job.close()
                os.close(fork.life)
            self.listener.close()
            job.close()
            os.close(life)
            run(asked, descriptors)
        os.close(held)
        self.forks.append(Fork(pid, job, life))
        _say(job, pid)


def _say(job: socket.socket, number: int) -> None:
    with suppress(OSError):  # a job that is gone is noticed where it is waited for
        job.sendall(f"{number}\n".encode())


def import_needs(script: Path, spec: str) -> bool:
    """Import what a script imports, once; return False for a job that needs it otherwise."""
    if script.stem == "finetune":
        from matcg.train.lean import fits, import_all

        asked = FinetuneSpec.model_validate_json(spec)
        if not fits(asked.backbone, asked.recipe):
            return False
        import_all()
    import_all_of(script)
    return True


def import_all_of(script: Path) -> None:
    """Import the modules from which a script imports."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            importlib.import_module(node.module)


def run(asked: dict[str, Any], descriptors: list[int]) -> None:
    """Be the process that Snakemake has started for a script, and end."""
    status = 1
    try:
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        for each in SIGNALS:
            usual = signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL
            signal.signal(each, signal.SIG_IGN if each in asked["ignored"] else usual)
        os.chdir(asked["folder"])
        sys.path[:], sys.argv = asked["path"], [asked["script"]]
        runpy.run_path(asked["script"], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except KeyboardInterrupt:
        traceback.print_exc()
        status = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # What the process that forks has registered for its end is not this one's to do.
        os._exit(status)


def main(number: int, *others: int) -> None:
    """Have one fork after another serve what comes, until Snakemake ends; in a process for each."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # jobs are told, and Snakemake ends by itself
    if others and not os.fork():
        os.close(number)
        main(*others)
        os._exit(0)
    for other in others:
        os.close(other)
    listener = socket.socket(fileno=number)
    while True:
        ready, _, _ = select.select([number, 0], [], [])
        if 0 in ready:
            break
        pid = os.fork()
        if not pid:
            try:
                Server(listener).serve()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
