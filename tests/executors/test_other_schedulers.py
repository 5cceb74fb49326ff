"""Dry runs with docs/profiles: other schedulers get the jobs that this machine would get."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from repository import fresh_copy

NEEDED = (
    "snakemake_executor_plugin_lsf",
    "snakemake_executor_plugin_kubernetes",
    "snakemake_storage_plugin_s3",
    "moto",
)
ABSENT = [name for name in NEEDED if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)} (requirements/executors.lock)"
)
CONFIG = ("--configfile", "tests/configs/small.yaml")
BUCKET = "s3://bucket/matcg/"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the repository; no profile changes its rules."""
    return fresh_copy(tmp_path_factory.mktemp("schedulers"))


@pytest.fixture(scope="module")
def local(copy: Path) -> dict[str, set[str]]:
    """Return what is planned on this machine."""
    return planned(copy, "--cores", "2", "--resources", "gpu=2")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve an empty bucket on this machine; return its address."""
    import boto3
    from moto.server import ThreadedMotoServer

    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "tests")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        address = "http://127.0.0.1:{1}".format(*server.get_host_and_port())
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="bucket")
        yield address
    finally:
        server.stop()


def planned(folder: Path, *arguments: str) -> dict[str, set[str]]:
    """Return the outputs of a dry run's jobs by their rule, as paths below the working folder."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", *CONFIG, *arguments]
    # Without the variables of a Snakemake that runs these tests.
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SNAKEMAKE")}
    done = subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-4000:]
    found: dict[str, set[str]] = {}
    # Members of a group are indented.
    jobs = re.findall(r"^( *)(?:local)?rule (\w+):\n((?:\1    .*\n)+)", said, re.MULTILINE)
    for _, rule, block in jobs:
        output = re.search(r"^ +output: (.*)$", block, re.MULTILINE)
        files = output[1].split(", ") if output else []
        found.setdefault(rule, set()).update(f.split(" ")[0].removeprefix(BUCKET) for f in files)
    return found


def test_lsf_gets_the_same_jobs(copy: Path, local: dict[str, set[str]]) -> None:
    assert len(local["finetune"]) == 3 * 6
    assert planned(copy, "--profile", "docs/profiles/lsf") == local


def test_kubernetes_gets_the_same_jobs_with_their_files_in_a_bucket(
    copy: Path, local: dict[str, set[str]], bucket: str
) -> None:
    where = ("--default-storage-prefix", BUCKET, "--storage-s3-endpoint-url", bucket)
    assert planned(copy, "--profile", "docs/profiles/kubernetes", *where) == local
