"""Scripts: output goes to the log, a user's mistake is one line, a bug keeps its traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

WORKFLOW = Path(__file__).parents[3] / "workflow"


def run(body: str, log: Path, attempt: int = 1) -> subprocess.CompletedProcess[str]:
    code = (
        "import os, sys\nfrom matcg.errors import *\nfrom matcg.steps.script import logged\n"
        f"with logged({str(log)!r}, {attempt}):\n    {body}\nprint('after')\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=WORKFLOW, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "body", ["print('hello')", "os.system('echo hello')", "print('hello', file=sys.stderr)"]
)
def test_all_output_goes_to_the_log(tmp_path: Path, body: str) -> None:
    log = tmp_path / "a/b.log"
    done = run(body, log)
    assert (done.returncode, done.stdout, done.stderr) == (0, "after\n", "")
    assert log.read_text() == "hello\n"


def test_a_mistake_of_the_user_is_one_line(tmp_path: Path) -> None:
    done = run("raise DataError('x.png: truncated')", tmp_path / "log")
    assert done.returncode == 1
    assert done.stderr == f"matcg: x.png: truncated (log: {tmp_path}/log)\n"
    assert (tmp_path / "log").read_text() == "error: x.png: truncated\n"


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    done = run("raise KeyError('x')", tmp_path / "log")
    assert done.returncode == 1
    for text in (done.stderr, (tmp_path / "log").read_text()):
        assert "Traceback" in text
        assert "KeyError: 'x'" in text


def test_a_mistake_is_not_worked_on_twice_in_one_call(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run("raise DataError('x.png: truncated')", log)
    again = run("print('worked')", log, attempt=2)
    assert again.returncode == 1
    assert again.stderr == (f"matcg: x.png: truncated (log: {log}; attempt 2, not tried again)\n")
    assert log.read_text() == "error: x.png: truncated\n"
    # A new call starts with the first attempt: the input may have been mended.
    assert run("print('worked')", log).returncode == 0
    assert log.read_text() == "worked\n"
    assert run("print('worked')", log, attempt=2).returncode == 0


@pytest.mark.parametrize("raised", ["KeyError", "ResourceError", "StoppedError"])
def test_what_is_no_mistake_of_the_user_is_tried_again(tmp_path: Path, raised: str) -> None:
    log = tmp_path / "log"
    assert run(f"raise {raised}('x')", log).returncode == 1
    assert run("print('worked')", log, attempt=2).returncode == 0
