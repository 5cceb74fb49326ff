"""What every Snakemake script needs: its output in a log, and errors that speak to the user."""

import gc
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from matcg.cluster.partition import gpus_in
from matcg.errors import ConfigError, DataError, MatcgError
from matcg.steps.forks import hand_over


@contextmanager
def logged(log: str, attempt: int = 1) -> Iterator[Callable[[str], None]]:
    """Send all output, that of subprocesses too, to `log` while the body runs.

    Yields a function that says a line on the terminal and in the log.

    A `MatcgError` ends the process with one line on stderr and in the log; any other exception is
    written to the log with its traceback and raised. Where the attempt before this one, in the same
    call of Snakemake, ended in a mistake of the user, this one ends alike before the body runs:
    Snakemake retries whatever fails, and cannot be told by exit status not to.
    """
    # What imports make stays; looking through it again and again is a fifth of their time.
    gc.set_threshold(100_000)
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    refused = Path(f"{log}.refused")
    if attempt > 1 and refused.exists():
        message = refused.read_text(encoding="utf-8")
        Path(log).write_text(f"error: {message}\n", encoding="utf-8")
        sys.stderr.write(f"matcg: {message} (log: {log}; attempt {attempt}, not tried again)\n")
        raise SystemExit(1)
    refused.unlink(missing_ok=True)
    terminal = os.dup(2)
    with Path(log).open("w", encoding="utf-8", buffering=1) as stream:
        sys.stdout.flush()
        sys.stderr.flush()
        screen = os.dup(1)
        # By descriptor, not by `sys.stdout`: engines write from C++ and from child processes.
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        try:
            yield partial(_tell, terminal, log)
        except MatcgError as error:
            os.write(2, f"error: {error}\n".encode())
            if isinstance(error, DataError | ConfigError):
                refused.write_text(str(error), encoding="utf-8")
            os.write(terminal, f"matcg: {error} (log: {log})\n".encode())
            raise SystemExit(1) from None
        except Exception:
            traceback.print_exc()
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(screen, 1)
            os.dup2(terminal, 2)
            os.close(screen)
            os.close(terminal)


def of_job(snakemake: Any) -> AbstractContextManager[Callable[[str], None]]:
    """Return `logged` for the job of a script, given what Snakemake tells it.

    Where a fork has run the script (`forks.py`), this ends the process instead. Which try it is, is
    told where Snakemake tries again (slurm/config.yaml).
    """
    if gres := snakemake.resources.get("gres"):
        # Where --gres has asked for devices, `gpu` is 0, so that --gpus does not ask once more.
        snakemake.resources.gpu = gpus_in(gres)
    hand_over(snakemake)
    return logged(snakemake.log[0], snakemake.resources.get("attempt", 1))


def _tell(terminal: int, log: str, text: str) -> None:
    """Print a line and show it on the terminal too, with the log that it stands in."""
    print(text, flush=True)
    os.write(terminal, f"matcg: {text} (log: {log})\n".encode())
