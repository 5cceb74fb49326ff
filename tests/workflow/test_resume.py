"""A fine-tuning that is killed and called again ends with the bytes of one that was not."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_makers import folder, write_mix
from matcg.config.backbone import Recipe
from matcg.config.library import load
from matcg.phantom.world import generate
from matcg.samples import read_samples
from matcg.train import training_state as attempt
from matcg.train.finetune import finetune

ROOT = Path(__file__).parents[2]
SUBSET = "us-knee-diseases"
RECIPES = {
    "full": Recipe(learning_rate=1e-3, epochs=3, batch_size=4, warmup=0.2, weight_decay=0.1),
    "lora": Recipe(learning_rate=1e-3, epochs=3, batch_size=4, method="lora", rank=2),
}
STEPS = 12
SPEED = {"samples_per_s", "tokens_per_s", "mfu", "peak_mb"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a mix of sixteen samples and the data it draws from."""
    root = tmp_path_factory.mktemp("resume")
    catalog = load("catalog", ROOT / "catalogs" / "phantom.yaml")
    folder(root, SUBSET, list(generate(catalog.subset(SUBSET), {"seed": 0}, "train", 16)))
    write_mix(root / "mix.parquet", read_samples(root / SUBSET / "train.parquet"))
    return root


@pytest.fixture(scope="module")
def whole(place, tiny):
    """Return the outputs of uninterrupted runs, by recipe."""
    made = {}
    for name, recipe in RECIPES.items():
        made[name] = place / f"whole-{name}"
        made[name].mkdir()
        finetune(place / "mix.parquet", place, tiny, recipe, 0, made[name], threads=1)
    return made


@pytest.fixture
def start(place, tiny, tmp_path):
    """Return a function that starts to fine-tune in a process that comes to harm."""

    def run(recipe="full", often=False, prefix=(), out=None, log="log.txt", **harm):
        asked = {
            "mix": str(place / "mix.parquet"),
            "data": str(place),
            "backbone": tiny.model_dump_json(),
            "recipe": RECIPES[recipe].model_dump_json(),
            "out": str(out or tmp_path / "run"),
            "log": str(tmp_path / log),
            "often": often,
            "harm": harm,
        }
        script = Path(__file__).with_name("harmed_training.py")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}
        return subprocess.Popen(
            [*prefix, sys.executable, str(script), json.dumps(asked)],
            env={**kept, "PYTHONPATH": str(ROOT / "workflow")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


@pytest.fixture
def harmed(start):
    """Return a function that fine-tunes in such a process, and what became of it."""

    def run(*arguments, **options):
        process = start(*arguments, **options)
        said, errors = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, said, errors)

    return run


def again(place, tiny, out, recipe="full", seed=0):
    finetune(place / "mix.parquet", place, tiny, RECIPES[recipe], seed, out, threads=1)


def rows(out):
    """Return what a run's metrics say, without what depends on the machine."""
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in SPEED} for line in lines]


def tensors(out):
    (file,) = (out / "weights").glob("*.safetensors")
    return file.read_bytes()


def kept(out):
    return sorted(path.name for path in (out / "unfinished").glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("name", "recipe", "reached"),
    [("SIGTERM", "lora", 6), ("SIGUSR1", "full", 6), ("SIGKILL", "full", 1)],
)
def test_a_killed_run_ends_with_the_same_bytes(
    harmed, place, whole, tiny, tmp_path, capsys, name, recipe, reached
):
    out = tmp_path / "run"
    done = harmed(recipe, step=5, signal=name)
    if name == "SIGKILL":
        assert done.returncode == -9
    else:
        assert done.returncode == 1
        said = f"matcg: stopped by {name} (time limit, preemption or user) after step 6 of {STEPS}"
        assert said in done.stderr
    assert kept(out) == [f"checkpoint-{reached:08d}"]
    assert not (out / "weights").exists()
    shown = [json.loads(x) for x in (out / "unfinished/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in shown] == list(range(6 if name != "SIGKILL" else 5))

    again(place, tiny, out, recipe)
    assert f"goes on after step {reached}" in capsys.readouterr().out
    assert tensors(out) == tensors(whole[recipe])
    assert rows(out) == rows(whole[recipe])
    assert len(rows(out)) == STEPS
    assert sorted(p.name for p in out.iterdir()) == ["metrics.jsonl", "provenance.json", "weights"]
    assert json.loads((out / "provenance.json").read_text())["tries"] == 2


def test_half_a_checkpoint_is_never_used(harmed, place, whole, tiny, tmp_path, capsys):
    out = tmp_path / "run"
    assert harmed(often=True, write=4).returncode == -9
    assert kept(out) == ["checkpoint-00000003", "checkpoint-00000004.part"]
    again(place, tiny, out)
    assert "goes on after step 3" in capsys.readouterr().out
    assert tensors(out) == tensors(whole["full"])


def test_a_damaged_checkpoint_is_not_used(harmed, place, whole, tiny, tmp_path, capsys):
    out = tmp_path / "run"
    harmed(step=5, signal="SIGKILL")
    (file,) = (out / "unfinished").glob("checkpoint-*/*.safetensors")
    file.write_bytes(file.read_bytes()[:-8])
    again(place, tiny, out)
    assert "checkpoint-00000001 cannot be used" in capsys.readouterr().out
    assert tensors(out) == tensors(whole["full"])


def test_another_runs_checkpoint_is_not_used(harmed, place, tiny, tmp_path, capsys):
    out = tmp_path / "run"
    harmed(step=5, signal="SIGKILL")
    again(place, tiny, out, seed=1)
    said = capsys.readouterr().out
    assert "is of another run" in said
    assert "goes on" not in said
    clean = tmp_path / "clean"
    clean.mkdir()
    again(place, tiny, clean, seed=1)
    assert tensors(out) == tensors(clean)


def test_changed_pictures_make_another_run(harmed, place, tiny, tmp_path, capsys):
    out = tmp_path / "run"
    harmed(step=5, signal="SIGKILL")
    data = tmp_path / "data"
    catalog = load("catalog", ROOT / "catalogs" / "phantom.yaml")
    folder(data, SUBSET, list(generate(catalog.subset(SUBSET), {"seed": 1}, "train", 16)))
    finetune(place / "mix.parquet", data, tiny, RECIPES["full"], 0, out, threads=1)
    assert "is of another run" in capsys.readouterr().out


def test_a_smaller_micro_batch_goes_on(harmed, place, tiny, tmp_path, capsys):
    out = tmp_path / "run"
    harmed(step=5, signal="SIGKILL")
    resources = tiny.resources.model_copy(update={"micro_batch": 2})
    again(place, tiny.model_copy(update={"resources": resources}), out)
    assert "goes on after step 1" in capsys.readouterr().out


def test_without_memory_step_samples_and_remedy_are_named(harmed, place):
    done = harmed(step=2)
    assert done.returncode == 1
    said = re.search(
        r"out of memory on cpu at step 2, with 200 samples at a time \((.*?)\)", done.stderr
    )
    assert said, done.stderr
    assert "In the backbone's resources set `micro_batch` to less than 200" in done.stderr
    ids = said[1].split(", ")
    known = {sample.sample_id for sample in read_samples(place / SUBSET / "train.parquet")}
    assert len(ids) == 200
    assert set(ids) <= known


MOUNT = ["unshare", "--mount", "--map-root-user"]


def test_a_full_disk_leaves_the_last_checkpoint(harmed, whole, tmp_path):
    probe = "mount -t tmpfs tmpfs /mnt"
    if not shutil.which("unshare") or subprocess.run([*MOUNT, "sh", "-c", probe]).returncode:
        pytest.skip("needs unshare with the right to mount")
    disk, out = tmp_path / "disk", tmp_path / "disk" / "run"
    disk.mkdir()
    size = sum(p.stat().st_size for p in (whole["full"] / "weights").iterdir())
    # Room for one checkpoint (weights and twice as much of the optimiser's), not for two.
    script = f"""
        mount -t tmpfs -o size={int(size * 4.5)} tmpfs {disk} || exit 9
        "$@"
        echo "status $?" && ls {out}/unfinished
        mount -o remount,size={size * 20} {disk} || exit 9
        "$@"
        echo "status $?" && cp -r {out}/weights {out}/metrics.jsonl {tmp_path}
    """
    done = harmed(often=True, out=out, prefix=[*MOUNT, "sh", "-c", script, "sh"])
    assert done.stdout.split("\n")[:3] == ["status 1", "checkpoint-00000001", "metrics.jsonl"]
    assert "the disk is full" in done.stderr
    assert "call again" in done.stderr
    assert done.stdout.split("\n")[3] == "status 0"
    assert "goes on after step 1" in (tmp_path / "log.txt").read_text()
    assert tensors(tmp_path) == tensors(whole["full"])


def test_a_run_that_another_process_ends_is_not_made_again(start, whole, tmp_path):
    # What happens where Snakemake is killed, its job is not, and Snakemake is called again.
    first = start(step=5, signal="SIGSTOP")
    os.waitpid(first.pid, os.WUNTRACED)
    second = start(log="second.txt")
    log = tmp_path / "second.txt"
    while not (log.exists() and "waiting" in log.read_text()) and second.poll() is None:
        time.sleep(0.05)
    first.send_signal(signal.SIGCONT)
    first.communicate()
    second.communicate()
    assert (first.returncode, second.returncode) == (0, 0)
    said = log.read_text()
    assert f"waiting for process {first.pid} on " in said
    assert "finished by the process that was waited for" in said
    assert "step" not in said
    assert tensors(tmp_path / "run") == tensors(whole["full"])


def test_a_signal_in_the_last_step_does_not_keep_the_run_from_ending(harmed, whole, tmp_path):
    assert harmed(step=STEPS - 1, signal="SIGTERM").returncode == 0
    assert tensors(tmp_path / "run") == tensors(whole["full"])


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in attempt.SIGNALS]
    with attempt.Stop() as stop:
        signal.raise_signal(signal.SIGUSR1)
        assert stop.number == signal.SIGUSR1
    assert [signal.getsignal(number) for number in attempt.SIGNALS] == before
