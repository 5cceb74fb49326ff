"""Runs a backbone's own commands, which train or answer in an environment that the user names."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from matcg.config.backbone import Backbone
from matcg.errors import ConfigError, MatcgError, StoppedError

POLL = 0.5  # seconds between two looks at whether to stop


def run_command(
    backbone: Backbone,
    which: Literal["train", "answer"],
    places: Mapping[str, str],
    stopped: Callable[[], int] = lambda: 0,
) -> None:
    """Run a command of a backbone to its end, each word one argument, never through a shell.

    `places` is what its placeholders stand for, with `python` for the interpreter that this runs
    in, which finds this library; `stopped` gives the signal that asks to stop.

    Raises:
        ConfigError: it cannot be started.
        MatcgError: it ended with another status than 0.
        StoppedError: it was asked to stop.
    """
    where = f"{backbone.where}: commands.{which}"
    words: list[str] = list(getattr(backbone.commands, which))
    env = _with_library() if "{python}" in words else None
    for name, place in {**places, "python": sys.executable}.items():
        words = [word.replace(f"{{{name}}}", place) for word in words]
    print(shlex.join(words), flush=True)
    try:
        process = subprocess.Popen(words, start_new_session=True, env=env)
    except OSError as error:
        raise ConfigError(f"{where}: cannot be started: {error}") from None
    try:
        while (status := _status(process)) is None:
            if number := stopped():
                raise StoppedError(f"{where}: stopped by {signal.Signals(number).name}")
    finally:  # with all that it has started
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()
    if status:
        raise MatcgError(f"{where}: ended with status {status}; what it said is above in the log")


def _with_library() -> dict[str, str]:
    """Return the environment of a command that imports this library, installed or not."""
    path = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def _status(process: subprocess.Popen[bytes]) -> int | None:
    """Return how a process ended, None where it runs on for a while."""
    try:
        return process.wait(POLL)
    except subprocess.TimeoutExpired:
        return None
