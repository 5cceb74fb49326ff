"""Devices: which there are, who may have them, and that no two processes have one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from matcg.cluster import devices
from matcg.cluster.devices import (
    Card,
    Device,
    lease,
    limit,
    lock_of,
    parse_cards,
    parse_visible,
    pool,
    smallest_memory,
)
from matcg.errors import ConfigError

WORKFLOW = Path(__file__).parents[3] / "workflow"
LISTED = """\
GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-aaaa0000-1111)
  MIG 3g.40gb     Device  0: (UUID: MIG-c6d4f1ef-42e4)
  MIG 3g.40gb     Device  1: (UUID: MIG-cba663e8-9bed)
GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-bbbb0000-2222)
"""
A100 = "NVIDIA A100-SXM4-80GB"
CARDS = [
    Card(A100, "GPU-aaaa0000-1111", ("MIG-c6d4f1ef-42e4", "MIG-cba663e8-9bed")),
    Card(A100, "GPU-bbbb0000-2222"),
]


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with an nvidia-smi that lists two cards; no scheduler, no variable is set."""
    for name in (*devices.SCHEDULER_JOBS, devices.VISIBLE, "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{LISTED}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setenv("MATCG_LEASES", str(tmp_path / "leases"))
    return program.parent


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0,1", ["0", "1"]),
        (" 3 , 1 ", ["3", "1"]),
        ("GPU-aaaa0000-1111,MIG-GPU-8932f937/1/2", ["GPU-aaaa0000-1111", "MIG-GPU-8932f937/1/2"]),
        ("0,-1,1", ["0"]),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(text: str, words: list[str]) -> None:
    assert parse_visible(text) == words


def test_a_device_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="1 is named twice"):
        parse_visible("0,1,1")


def test_cards_and_their_slices_are_read() -> None:
    assert parse_cards(LISTED) == CARDS
    assert parse_cards("No devices were found\n") == []


def test_without_the_variable_all_devices_are_there(machine: Path) -> None:
    words = ["MIG-c6d4f1ef-42e4", "MIG-cba663e8-9bed", "GPU-bbbb0000-2222"]
    assert pool() == tuple(Device(word, word) for word in words)
    (machine / "nvidia-smi").write_text("#!/bin/sh\necho GPU 0: broken\nexit 9\n")
    assert pool() == ()


def test_the_smallest_card_is_known_but_not_of_slices(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert smallest_memory() is None
    whole = LISTED.splitlines()[-1]
    program = f"""#!/bin/sh
case "$*" in *memory.total*--id=1*) echo 24564;; *memory.total*) echo 81559; echo 24564;;
*) echo '{whole}';; esac
"""
    (machine / "nvidia-smi").write_text(program)
    assert smallest_memory() == pytest.approx(24564 / 1024)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert smallest_memory() == pytest.approx(24564 / 1024)
    monkeypatch.setenv("PATH", "")
    assert smallest_memory() is None


def test_index_and_uuid_of_a_device_have_one_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    locks = []
    for visible in ("1", "GPU-bbbb0000-2222", "GPU-bbbb"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        (device,) = pool()
        assert device.word == ("1" if visible == "1" else "GPU-bbbb0000-2222")
        locks.append(device.lock)
    assert locks == ["GPU-bbbb0000-2222"] * 3


def test_an_index_is_no_uuid_where_cuda_may_count_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mixed = [CARDS[1], Card("NVIDIA RTX A6000", "GPU-cccc")]
    assert lock_of("1", mixed) == "1"
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert lock_of("1", mixed) == "GPU-cccc"
    assert lock_of("2", mixed) == "2"


def test_devices_of_two_scheduler_jobs_are_not_confused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with lease(1, "first"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
        monkeypatch.setenv("SLURM_JOB_ID", "8")
        (other,) = pool()
        assert devices._try(devices.ExitStack(), devices.lock_folder(), [other], 1, "x") == ["0"]


def test_a_lease_shows_its_devices_only_and_gives_them_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    with lease(2, "a"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5"
        assert devices.leased() == ["4", "5"]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
        with lease(1, "b"):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "6"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5,6"
    with lease(3, "c"):
        assert devices.leased() == ["4", "5", "6"]
    assert devices.leased() == []


@pytest.mark.parametrize("visible", [None, "", "0,1"])
def test_a_job_without_gpu_changes_nothing(
    visible: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with lease(0, "cpu"):
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible
    assert not (tmp_path / "leases").exists()


def test_more_than_there_are_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limit({"a": 3, "b": 0}, None) == 3
    assert limit({"a": 3}, 5) == 5
    with pytest.raises(ConfigError, match=r"backbone a: .* gpu=4, but nvidia-smi lists 3"):
        limit({"a": 4}, None)
    with pytest.raises(ConfigError, match="gpu=4, but nvidia-smi lists 3"):
        limit({"a": 4}, 8)
    with pytest.raises(ConfigError, match="--resources gpu=1 allows 1"):
        limit({"a": 2}, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(ConfigError, match=r"log: .* gpu=2, but CUDA_VISIBLE_DEVICES=0 names 1"):
        lease(2, "log").__enter__()


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setenv("MATCG_LEASES", str(tmp_path / "link"))
    with pytest.raises(ConfigError, match="name a folder of your own"):
        lease(1, "x").__enter__()


HOLDER = """
import sys, time
from matcg.cluster.devices import lease
with lease(int(sys.argv[1]), "holder"):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """Return another process that holds both devices of a pool."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    command = [sys.executable, "-c", HOLDER, "2"]
    with subprocess.Popen(command, cwd=WORKFLOW, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert "leased" in process.stdout.readline()
        yield process
        process.kill()


def test_who_waits_is_told_for_whom_and_a_killed_process_frees(
    holder: subprocess.Popen[str],
) -> None:
    said: list[str] = []

    def tell(text: str) -> None:
        said.append(text)
        holder.kill()

    with lease(2, "me", tell):
        assert holder.wait() == -signal.SIGKILL
    who = f"process {holder.pid}, holder"
    assert said == [f"waiting for 2 of these GPUs, last held by 0: {who}; 1: {who}"]


def test_a_waiting_job_with_another_pool_stands_in_nobodys_way(
    holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", HOLDER, "1"]
    with subprocess.Popen(command, cwd=WORKFLOW, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout
        assert "waiting" in waiting.stdout.readline()
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
        with lease(1, "me", lambda text: pytest.fail(text)):
            assert devices.leased() == ["2"]
        assert holder.poll() is None
        waiting.kill()
