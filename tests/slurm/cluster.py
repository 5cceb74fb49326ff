"""A Slurm of one node with two GPUs that are pretended, for tests: started and stopped here.

Needs root and Debian's packages slurm-wlm and munge, and a machine on which no Slurm is configured:
job steps lose SLURM_CONF on their way, so the configuration has to lie where Slurm looks for it.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

CONFIGURED = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
START_LIMIT = 60  # seconds until a daemon answers

# Jobs of `high` send those of `low` back into the queue. Credentials that expire soon let a
# requeued job start again after seconds, not two minutes.
SLURM = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CryptoType=crypto/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MinJobAge=300
KillWait=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:2 State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=1440 PriorityTier=1 State=UP
PartitionName=high Nodes={host} MaxTime=1440 PriorityTier=10 PreemptMode=off State=UP
AccountingStorageType=accounting_storage/none
"""


def missing() -> str:
    """Return why no Slurm can be started here, or nothing."""
    if os.geteuid() != 0:
        return "starting a Slurm needs root"
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: slurm-wlm, munge)"
    if any((CONFIGURED / name).exists() for name in FILES):
        return f"{CONFIGURED} belongs to a Slurm of this machine"
    return ""


class NotStartedError(Exception):
    """A daemon did not start; says what it said."""


class Cluster:
    """The daemons of one Slurm, with all their files in a folder."""

    def __init__(self, folder: Path, cpus: int = 8, memory: int = 64_000) -> None:
        """Describe a node of so many cores and MB, whether or not this machine has them."""
        self.folder, self.cpus, self.memory = folder, cpus, memory
        self.host = socket.gethostname().split(".")[0]
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start munged, slurmctld and slurmd, and wait until the node takes jobs."""
        self._folders()
        self._configure()
        self.launch("slurmctld", "-D")
        self.wait(lambda: call("scontrol", "ping").returncode == 0, "slurmctld")
        self.launch("slurmd", "-D", "-N", self.host)
        self.wait(lambda: "idle" in call("sinfo", "-h", "-o", "%T").stdout, "slurmd")

    def _folders(self) -> None:
        """Make folders and key, and start munged, which vouches for users."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        paths = {"key-file": key} | {
            f"{name}-file": self.folder / f"munge.{name}" for name in ("log", "pid", "seed")
        }
        options = [f"--{name}={path}" for name, path in paths.items()]
        munge = self.folder / "munge.socket"
        self.launch("munged", "-F", "--force", f"--socket={munge}", *options)
        self.wait(munge.exists, "munged")

    def _configure(self) -> None:
        """Write the configuration; the devices are copies of /dev/null."""
        CONFIGURED.mkdir(exist_ok=True)
        for number in range(2):
            os.mknod(self.folder / f"gpu{number}", 0o666 | 0o020000, os.makedev(1, 3))
        (CONFIGURED / "gres.conf").write_text(f"Name=gpu File={self.folder}/gpu[0-1]\n")
        node = {"host": self.host, "cpus": self.cpus, "memory": self.memory}
        text = SLURM.format(folder=self.folder, **node)
        (CONFIGURED / "slurm.conf").write_text(text)

    def launch(self, *command: str) -> None:
        """Start a daemon in the foreground of a session of its own."""
        said = (self.folder / f"{command[0]}.said").open("wb")
        daemon = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
        self.daemons.append(daemon)

    def wait(self, ready: Callable[[], bool], name: str) -> None:
        """Wait until a daemon is ready, or fail with what it said."""
        end = time.monotonic() + START_LIMIT
        while not ready():
            if time.monotonic() > end or self.daemons[-1].poll() is not None:
                logs = [self.folder / f"{name}.said", self.folder / f"{name}.log"]
                said = [path.read_text(errors="replace")[-3000:] for path in logs if path.exists()]
                raise NotStartedError(f"{name} did not start:\n" + "\n".join(said))
            time.sleep(0.2)

    def stop(self) -> None:
        """End all jobs and daemons and remove the configuration."""
        call("scancel", "--user=root", "--signal=KILL", "--full")
        call("scancel", "--user=root")
        for daemon in reversed(self.daemons):
            for process in [*descendants(daemon.pid), daemon]:
                with suppress(psutil.NoSuchProcess, ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        for name in FILES:
            (CONFIGURED / name).unlink(missing_ok=True)


def descendants(pid: int) -> list[psutil.Process]:
    """Return the processes that a daemon has started, none where it is gone."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def call(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it said."""
    return subprocess.run(command, capture_output=True, text=True, check=False)
