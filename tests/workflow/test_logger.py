"""The progress lines of a real Snakemake run."""

import subprocess
import sys
from pathlib import Path

import pytest

SNAKEFILE = """
rule all:
    input: "good.txt", "bad.txt" if config.get("bad") else []
rule good:
    output: "good.txt"
    shell: "touch {output}"
rule bad:
    output: "bad.txt"
    log: "logs/bad.log"
    shell: "echo 'error: row 3 has no answer' > {log}; exit 1"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    return tmp_path


def snakemake(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments, "--logger", "matcg"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_a_run_says_what_there_is_to_do_and_that_it_is_done(project: Path) -> None:
    said = snakemake(project).stderr
    assert "1 jobs: 1 good" in said
    assert "[0/1] 1 left, about" in said
    assert "1 jobs done in" in said
    assert "Building DAG" not in said
    assert "\x1b" not in said


def test_a_second_run_says_that_nothing_is_to_do(project: Path) -> None:
    snakemake(project)
    said = snakemake(project).stderr
    assert said.startswith("Nothing to be done")


def test_a_failed_job_shows_its_error_and_its_log(project: Path) -> None:
    run = snakemake(project, "--config", "bad=1")
    assert run.returncode != 0
    assert "Failed: bad\n  error: row 3 has no answer\n  log: logs/bad.log\n" in run.stderr
    assert "CalledProcessError" not in run.stderr
