"""`snakemake --profile slurm` on a real Slurm of one node: a whole run, and what can go wrong.

The whole run comes first; the other tests go on from copies of its data, without its runs.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from repository import fresh_copy, snakemake, start

from cluster import Cluster, NotStartedError, accounts_missing, call

PLUGIN = "snakemake_executor_plugin_slurm"
pytestmark = [
    pytest.mark.slow(
        "whole runs on a Slurm, whose every job takes seconds to start and to be seen"
    ),
    pytest.mark.skipif(importlib.util.find_spec(PLUGIN) is None, reason=f"no {PLUGIN}"),
]

NODES = 1
LIMIT = 900  # seconds until something that must happen has happened, on a slow machine
# What the profile has for a real cluster, shorter: a look at the queue every few seconds.
FAST = (
    "--profile", "slurm", "--configfile", "tests/configs/small.yaml",
    "--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5",
    "--group-components", "prepare=5", "lengths=10", "mix=6",
)  # fmt: skip
TRAINED = (*FAST, "--until", "finetune")
# In the profile: each look would else be ten seconds later than the one before.
LOOKS = """\
__definitions__:
  - import snakemake_executor_plugin_slurm as plugin
  - "plugin.Executor.next_seconds_between_status_checks = property(lambda _: 2, lambda *_: None)"
"""
RUNS = "results/runs/tiny-llava-*/full-*"
PLANNED = 4  # fine-tunings
MODULES = Path("/usr/share/modules/init/sh")  # where Debian's environment-modules is


@dataclass
class Seen:
    """Which devices fine-tunings held at the same time, one set of (process, device) a look."""

    looks: list[frozenset[tuple[int, str]]] = field(default_factory=list)

    def look(self, folder: Path) -> None:
        """Note the devices of all fine-tunings in a folder."""
        held = {}
        for process in fine_tunings(folder):
            with suppress(psutil.NoSuchProcess):
                held[process] = process.environ().get("CUDA_VISIBLE_DEVICES", "none")
        # A look takes its time: one that has ended meanwhile was not there with all the others.
        alive = [(each.pid, device) for each, device in held.items() if lives(each)]
        self.looks.append(frozenset(alive))


def lives(process: psutil.Process) -> bool:
    """Return whether a process still runs."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@dataclass
class Whole:
    """A finished run of the small experiment: its folder, what was said, which devices it held."""

    folder: Path
    said: str
    seen: Seen


@pytest.fixture(scope="module")
def whole(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Run the small experiment by one rule on Slurm; its fine-tunings ask for a GPU each."""
    assert call("squeue", "-h").stdout == "", f"jobs in {slurm.folder}"
    folder = fresh_copy(tmp_path_factory.mktemp("whole"))
    experiment = folder / "tests/configs/small-experiment.yaml"
    text = experiment.read_text()
    assert "rules: [fixed-modality, fixed-task]" in text
    experiment.write_text(text.replace("[fixed-modality, fixed-task]", "[fixed-task]"))
    profile = folder / "slurm/config.yaml"
    text = profile.read_text()
    assert "  finetune:\n" in text
    text = text.replace("  finetune:\n", "  finetune:\n    gpu: 1\n")
    profile.write_text(text.replace("__definitions__:\n", LOOKS))
    seen = Seen()
    said, code = run(folder, FAST, lambda: seen.look(folder))
    assert code == 0, said[-6000:]
    return Whole(folder, said, seen)


@pytest.fixture
def data(whole: Whole, tmp_path: Path) -> Path:
    """Return a copy of the whole run without its fine-tunings and what was made of them."""
    folder = tmp_path / "matcg"
    shutil.copytree(whole.folder, folder, symlinks=True)
    for name in ("runs", "answers", "experiments", "benchmarks"):
        shutil.rmtree(folder / "results" / name)
    # Nothing is made for a report that is there already.
    for page in folder.glob("results/report*.html"):
        page.unlink()
    return folder


def run(folder: Path, arguments: tuple[str, ...], meanwhile: Callable[[], None]) -> tuple[str, int]:
    """Run Snakemake to its end; return what it said and its exit status."""
    said = folder / "said.txt"
    with said.open("w") as out:
        process = start(folder, *arguments, session=True, out=out)
        end = time.monotonic() + LIMIT
        while process.poll() is None:
            if time.monotonic() > end:
                os.killpg(process.pid, signal.SIGKILL)
                queue = call("squeue").stdout
                raise AssertionError(f"not ended:\n{said.read_text()[-3000:]}\n{queue}")
            meanwhile()
            time.sleep(0.4)  # a look at all processes takes a tenth of that
    return said.read_text(), process.returncode


def fine_tunings(folder: Path) -> list[psutil.Process]:
    """Return the processes that fine-tune in a folder."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            words = process.cmdline()
            script = len(words) > 1 and words[-1].endswith("finetune.py")
            if script and process.cwd() == str(folder):
                found[process.pid] = (process, process.ppid())
    # Before it runs another program, a child that was forked looks like its parent.
    return [process for process, parent in found.values() if parent not in found]


def wait_for(condition: Callable[[], object], what: str, pause: float = 0.05) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen\n{call('squeue').stdout}"
        time.sleep(pause)


def runs(folder: Path) -> dict[str, int]:
    """Return the finished runs by their path, and when they ended in nanoseconds."""
    found = folder.glob(f"{RUNS}/*/seed0/provenance.json")
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in found}


def log_of(record: str) -> str:
    """Return the log of the fine-tuning whose record this is."""
    return f"logs/finetune/{'/'.join(Path(record).parts[2:6])}.log"


def job_of(process: psutil.Process) -> str:
    """Return the Slurm job of a process."""
    return process.environ()["SLURM_JOB_ID"]


def test_the_experiment_runs_to_its_report(whole: Whole) -> None:
    assert (whole.folder / "results/report.html").stat().st_size > 10_000
    assert len(runs(whole.folder)) == PLANNED
    # 8 jobs of `prepare`, 8 of `lengths` and 4 of `mix` in four Slurm jobs, none of them twice.
    submitted = whole.said.count("has been submitted with SLURM jobid")
    steps = PLANNED + 1  # one prediction for all of them
    assert submitted == 2 + 1 + 1 + steps + len(
        ("world", "leaks", "audit", "leak_pairs", "compare", "figures")
    )


def test_two_fine_tunings_at_a_time_each_with_its_own_device(whole: Whole) -> None:
    devices = [[device for _, device in held] for held in whole.seen.looks]
    assert {device for held in devices for device in held} == {"0", "1"}
    assert max(map(len, devices)) == 2
    assert all(len(set(held)) == len(held) for held in devices)


def test_logs_stay_and_the_finished_is_not_run_again(whole: Whole) -> None:
    logs = list(whole.folder.glob("logs/slurm/rule_finetune/**/*.log"))
    assert len(logs) == PLANNED
    said = snakemake(whole.folder, *FAST).stdout
    assert "Nothing to be done" in said


@dataclass
class Trouble:
    """Brings trouble to the first try of two runs: one is cancelled, one stands still."""

    folder: Path
    cancelled: str
    stopped: str
    done: dict[str, str] = field(default_factory=dict)

    def __call__(self) -> None:
        for process in fine_tunings(self.folder):
            with suppress(psutil.NoSuchProcess):
                job = job_of(process)
                asked = call("scontrol", "show", "job", job).stdout
                if "cancel" not in self.done and self.cancelled in asked:
                    self.done["cancel"] = job
                    call("scancel", job)
                elif "stop" not in self.done and self.stopped in asked:
                    self.done["stop"] = job
                    process.suspend()


def spoil(mix: Path) -> None:
    """Let a mix name a sample that there is not."""
    table = pq.read_table(mix)
    column = table.schema.get_field_index("sample_id")
    names = ["no-such-sample", *table["sample_id"].to_pylist()[1:]]
    pq.write_table(table.set_column(column, "sample_id", pa.array(names)), mix)


def test_cancelled_out_of_time_and_wrong(data: Path, whole: Whole) -> None:
    cancelled, stopped, wrong = sorted(runs(whole.folder))[:3]
    names = [Path(path).parts[4] for path in (cancelled, stopped, wrong)]
    spoil(data / f"results/mixes/{names[2]}.parquet")
    trouble = Trouble(data, names[0], names[1])
    amounts = ("--set-resources", "finetune:gpu=1", "finetune:runtime=attempt")
    said, code = run(data, (cancelled, stopped, wrong, *FAST, *amounts), trouble)
    assert code == 1, said[-6000:]
    assert set(runs(data)) == {cancelled, stopped}
    assert f"SLURM-job '{trouble.done['cancel']}' failed, SLURM status is: 'CANCELLED'" in said
    assert f"SLURM-job '{trouble.done['stop']}' failed, SLURM status is: 'TIMEOUT'" in said
    assert "runtime=2, " in said  # minutes of the second try
    # Shown with its log, and its later tries do no work.
    mistake = "sample no-such-sample is not in results/data/small/"
    log = log_of(wrong)
    assert mistake in said
    assert log in said
    assert mistake in (data / log).read_text()
    tries = sorted(data.glob("logs/slurm/rule_finetune/**/*.log"), key=lambda path: path.name)
    again = [path for path in tries if "not tried again" in path.read_text(errors="replace")]
    assert len(again) == 2


@dataclass
class Interruption:
    """Holds a run still between two of its steps, and then lets trouble come to its job."""

    folder: Path
    out: Path
    trouble: Callable[[str], None]
    job: str = ""

    def __call__(self) -> None:
        ready = list((self.out / "unfinished").glob("checkpoint-*/*"))
        if not self.job and ready:
            for process in fine_tunings(self.folder):
                process.suspend()
                self.job = job_of(process)
                self.trouble(self.job)


def preempt(job: str) -> None:
    """Let a job of more importance need both devices."""
    assert job
    call("sbatch", "-p", "high", "--gpus=2", "-o", "/dev/null", "--wrap", "sleep 2")


def lose_node(job: str) -> None:
    """Let the node go down, and come back when the job is no longer there."""
    node = call("hostname", "-s").stdout.strip()
    call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    wait_for(lambda: "PENDING" in call("squeue", "-h", "-j", job, "-o", "%T").stdout, "requeueing")
    call("scontrol", "update", f"nodename={node}", "state=resume")


@pytest.mark.parametrize("trouble", [preempt, lose_node])
def test_a_run_that_loses_its_node_goes_on_and_ends_with_the_same_weights(
    data: Path, whole: Whole, trouble: Callable[[str], None]
) -> None:
    target = sorted(runs(whole.folder))[0]
    out = (data / target).parent
    interruption = Interruption(data, out, trouble)
    # A checkpoint after the first step: a node that is lost leaves no time to write one.
    with (data / "tests/configs/small.yaml").open("a") as config:
        config.write("training: {checkpoint_minutes: 0.0001}\n")
    said, code = run(data, (target, *FAST), interruption)
    assert code == 0, said[-6000:]
    assert "Restarts=1" in call("scontrol", "show", "job", interruption.job).stdout
    assert said.count("rule finetune:") == 1  # Slurm's requeue, not Snakemake's retry
    assert "goes on after step" in (data / log_of(target)).read_text()
    weights = "weights/model.safetensors"
    before = (whole.folder / target).parent / weights
    assert (out / weights).read_bytes() == before.read_bytes()


def test_what_the_partition_cannot_give_is_refused_and_no_retry_asks_for_it(
    data: Path, whole: Whole
) -> None:
    target = sorted(runs(whole.folder))[0]
    backbone = data / "backbones/tiny-llava.yaml"
    text = backbone.read_text()
    asked = re.search(r"^  runtime: (\d+)$", text, re.MULTILINE)
    assert asked
    backbone.write_text(text.replace(asked[0], "  runtime: 1441"))
    refused = snakemake(data, target, *FAST)
    assert refused.returncode == 1
    assert "rule finetune asks for 1441 minutes, partition low has 1440" in refused.stdout
    assert "has been submitted" not in refused.stdout
    # Fits, and twice as much would not: the second try asks for all that there is.
    backbone.write_text(text.replace(asked[0], "  runtime: 1000"))
    spoil(data / f"results/mixes/{Path(target).parts[4]}.parquet")
    said = data / "said.txt"
    with said.open("w") as out, start(data, target, *FAST, session=True, out=out) as process:
        wait_for(lambda: said.read_text().count("has been submitted") == 2, "a second try")
        os.killpg(process.pid, signal.SIGKILL)
    assert set(re.findall(r"runtime=(\d+), ", said.read_text())) == {"1000", "1440"}
    call("scancel", "--user=root")
    wait_for(lambda: not call("squeue", "-h").stdout, "the end of all jobs")


@pytest.mark.skipif(not MODULES.exists(), reason="not installed: environment-modules")
def test_a_module_of_the_cluster_is_loaded_in_the_job(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "modules"
    folder.mkdir()
    says = 'setenv MATCG_TEST 1\nputs stderr "the module is loaded"\n'
    (folder / "matcg-test").write_text(f"#%Module1.0\n{says}")
    setup = f". {MODULES} && module use {folder} && module load matcg-test"
    monkeypatch.setenv("MATCG_SLURM_SETUP", setup)
    mix = next((data / "results/mixes").glob("*.parquet"))
    mix.unlink()
    said, code = run(data, (str(mix.relative_to(data)), *FAST), lambda: None)
    assert code == 0, said[-6000:]
    logs = [log.read_text() for log in data.glob("logs/slurm/**/*.log")]
    assert any("the module is loaded" in log for log in logs)


def test_killed_snakemake_starts_again_without_the_finished_runs(data: Path) -> None:
    with (data / "said.txt").open("w") as out:
        process = start(data, *TRAINED, session=True, out=out)
        wait_for(lambda: process.poll() is not None or runs(data), "a finished run")
        assert process.poll() is None, (data / "said.txt").read_text()[-3000:]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    # What docs/cluster.md says to do; those that run end without a Snakemake that waits for them.
    call("scancel", "--user=root", "--state=PENDING")
    wait_for(lambda: not call("squeue", "-h").stdout, "the end of all jobs")
    kept = runs(data)
    assert 1 <= len(kept) < PLANNED
    locked = snakemake(data, *TRAINED)
    assert locked.returncode == 1
    assert "--unlock" in locked.stdout
    assert snakemake(data, *TRAINED, "--unlock").returncode == 0
    said, code = run(data, TRAINED, lambda: None)
    assert code == 0, said[-6000:]
    now = runs(data)
    assert len(now) == PLANNED
    assert {path: now[path] for path in kept} == kept


@pytest.fixture(scope="module")
def accounts(slurm: Cluster) -> str:
    """Let the Slurm keep accounts from here on; return the one that root has."""
    if why := accounts_missing():
        pytest.skip(why)
    assert call("squeue", "-h").stdout == ""
    try:
        slurm.keep_accounts("lab")
    except NotStartedError as error:
        pytest.skip(f"this machine does not let a Slurm with accounts start: {error}")
    return "lab"


def test_with_accounts_the_end_of_jobs_is_seen_by_sacct(
    accounts: str, data: Path, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATCG_SLURM_ACCOUNT", accounts)
    cancelled, other = sorted(runs(whole.folder))[:2]
    trouble = Trouble(data, Path(cancelled).parts[4], "nothing stands still")
    said, code = run(data, (cancelled, other, *FAST, "--verbose"), trouble)
    assert code == 0, said[-6000:]
    assert set(runs(data)) == {cancelled, other}
    assert "command=sacct" in said
    assert "command=squeue" not in said
    # sacct says by whom, which the plugin does not expect.
    job = trouble.done["cancel"]
    assert f"SLURM-job '{job}' failed, SLURM status is: 'CANCELLED'. Reason" in said
    kept = call("sacct", "-X", "-n", "-P", "--format=jobid,account,state").stdout.splitlines()
    assert f"{job}|lab|CANCELLED by 0" in kept
    assert sum(row.endswith("|lab|COMPLETED") for row in kept) == 2


def test_the_queue_is_left_empty(slurm: Cluster) -> None:
    assert slurm.daemons
    assert subprocess.run(["squeue", "-h"], capture_output=True, check=True).stdout == b""
