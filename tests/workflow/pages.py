"""Follow the commands that a page of the documentation says to type."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from workspace import REAL, REPO

EXAMPLE = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^```\w+\n.*?^```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(page: str, title: str) -> str:
    """Return what stands below a title, up to the next."""
    text = (REPO / page).read_text(encoding="utf-8")
    (found,) = re.findall(rf"^##+ {re.escape(title)}\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL)
    return str(found)


def eight(text: str) -> list[str]:
    """Return the commands of a section from a clone to a table, without the first four.

    These get the repository and install it, which a test has done.
    """
    (block,) = BLOCK.findall(FILE.sub("", text))
    said = block.splitlines()
    assert len(said) <= 8
    assert [line.split()[0] for line in said[:4]] == ["git", "cd", "make", "export"]
    return list(said[4:])


def follow(folder: Path, command: str) -> str:
    """Type a command of a page in a folder and return what it says."""
    program, *arguments = shlex.split(command, comments=True)
    if program == "python":
        return subprocess.check_output([sys.executable, *arguments], cwd=folder, text=True)
    assert program == "snakemake"
    done = REAL.call(folder, tuple(arguments), "forks")
    assert done.returncode == 0, done.stdout
    return done.stdout
