"""A Slurm of one node with GPUs that are pretended, for tests: started and stopped here.

Needs root and Debian's packages slurm-wlm and munge, and a machine on which no Slurm is configured:
job steps lose SLURM_CONF on their way, so the configuration has to lie where Slurm looks for it.
With slurmdbd and mariadb-server too it can keep accounts, in a database without a network.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

CONFIGURED = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf", "slurmdbd.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
ACCOUNTING = ("slurmdbd", "sacct", "sacctmgr", "mariadbd", "mariadb-install-db", "mariadb-admin")
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
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MinJobAge={kept}
KillWait=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
{nodes}
PartitionName=low Nodes=ALL Default=YES MaxTime=1440 PriorityTier=1 State=UP
PartitionName=high Nodes=ALL MaxTime=1440 PriorityTier=10 PreemptMode=off State=UP
AccountingStoragePass={folder}/munge.socket
AccountingStorageType=accounting_storage/{storage}
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus}"
    " RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN"
)
PORT = 6818  # of the first node's daemon, Slurm's default
# Finished jobs are soon known to the database only.
WITHOUT_ACCOUNTS = {"storage": "none", "kept": 300}
WITH_ACCOUNTS = {"storage": "slurmdbd\nAccountingStorageEnforce=associations", "kept": 10}
SLURMDBD = """\
DbdHost=localhost
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
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


def accounts_missing() -> str:
    """Return why no Slurm that is started here can keep accounts, or nothing."""
    absent = [name for name in ACCOUNTING if not shutil.which(name)]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: slurmdbd, mariadb-server)"
    return ""


class NotStartedError(Exception):
    """A daemon did not start; says what it said."""


class Cluster:
    """The daemons of one Slurm, with all their files in a folder."""

    def __init__(
        self, folder: Path, cpus: int = 8, memory: int = 64_000, gpus: int = 2, nodes: int = 1
    ) -> None:
        """Describe nodes of so many cores, MB and GPUs, whether or not this machine has them."""
        self.folder, self.gpus = folder, gpus
        self.node = {"cpus": cpus, "memory": memory, "gpus": gpus}
        self.host = socket.gethostname().split(".")[0]
        more = [f"{self.host}-{number}" for number in range(2, nodes + 1)]
        self.names = [self.host, *more]
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start munged, slurmctld and slurmd, and wait until the node takes jobs."""
        self._folders()
        self._devices()
        self._control(WITHOUT_ACCOUNTS)
        for name in self.names:
            (self.folder / f"spool-{name}").mkdir()
            self.launch("slurmd", "-D", "-N", name)
        self.wait(self._idle, "slurmd")

    def _idle(self) -> bool:
        return call("sinfo", "-h", "-N", "-p", "low", "-o", "%T").stdout.split() == [
            "idle" for _ in self.names
        ]

    def keep_accounts(self, account: str) -> None:
        """Start slurmctld anew, with a database in which root has an account, and no other."""
        self._database()
        socket = str(self.folder / "mariadb.socket")
        configuration = CONFIGURED / "slurmdbd.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(SLURMDBD.format(folder=self.folder))
        self.launch("slurmdbd", "-D", MYSQL_UNIX_PORT=socket)
        end(self.daemons.pop(1))
        # sacctmgr, too, finds the database's daemon by way of slurm.conf.
        self._configure(WITH_ACCOUNTS)
        listed = ("sacctmgr", "-n", "list", "cluster")
        self.wait(lambda: call(*listed).returncode == 0, "slurmdbd")
        self._control(WITH_ACCOUNTS)
        self.wait(lambda: "test" in call(*listed).stdout, "slurmctld")
        for what in (("account", account), ("user", "root", f"account={account}")):
            call("sacctmgr", "-i", "add", *what)
        self.wait(self._idle, "slurmctld")

    def _control(self, accounts: Mapping[str, str | int]) -> None:
        """Configure and start slurmctld."""
        self._configure(accounts)
        self.launch("slurmctld", "-D")
        self.wait(lambda: call("scontrol", "ping").returncode == 0, "slurmctld")

    def _database(self) -> None:
        """Make and start a database that only this machine's root can reach, by a file."""
        data, address = self.folder / "mariadb", self.folder / "mariadb.socket"
        options = ("--no-defaults", f"--datadir={data}", "--user=root")
        made = call(
            "mariadb-install-db", *options, "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )  # fmt: skip
        if made.returncode:
            raise NotStartedError(f"mariadb-install-db failed:\n{made.stdout}\n{made.stderr}")
        self.launch("mariadbd", *options, f"--socket={address}", "--skip-networking")
        ping = ("mariadb-admin", "--no-defaults", "--user=root", f"--socket={address}", "ping")
        self.wait(lambda: call(*ping).returncode == 0, "mariadbd")

    def _folders(self) -> None:
        """Make folders and key, and start munged, which vouches for users."""
        (self.folder / "state").mkdir(parents=True)
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

    def _devices(self) -> None:
        """Make the devices, copies of /dev/null."""
        CONFIGURED.mkdir(exist_ok=True)
        for number in range(self.gpus):
            os.mknod(self.folder / f"gpu{number}", 0o666 | 0o020000, os.makedev(1, 3))
        (CONFIGURED / "gres.conf").write_text(
            f"Name=gpu File={self.folder}/gpu[0-{self.gpus - 1}]\n"
        )

    def _configure(self, accounts: Mapping[str, str | int]) -> None:
        """Write the configuration."""
        nodes = "\n".join(
            NODE.format(name=name, host=self.host, port=PORT + number, **self.node)
            for number, name in enumerate(self.names)
        )
        text = SLURM.format(folder=self.folder, host=self.host, nodes=nodes, **accounts)
        (CONFIGURED / "slurm.conf").write_text(text)

    def launch(self, *command: str, **variables: str) -> None:
        """Start a daemon in the foreground of a session of its own."""
        with (self.folder / f"{command[0]}.said").open("ab") as said:
            daemon = subprocess.Popen(
                command,
                stdout=said,
                stderr=said,
                start_new_session=True,
                env=os.environ | variables,
            )
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
        # Those first that need the others.
        for daemon in reversed(self.daemons):
            end(daemon)
        for name in FILES:
            (CONFIGURED / name).unlink(missing_ok=True)


@contextmanager
def started(folder: Path, **described: int) -> Iterator[Cluster]:
    """Have a Slurm while the body runs; how it is described, see `Cluster`."""
    cluster = Cluster(folder, **described)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def end(daemon: subprocess.Popen[bytes]) -> None:
    """End a daemon and all that it has started."""
    for process in [*descendants(daemon.pid), daemon]:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            process.send_signal(signal.SIGTERM)
    try:
        daemon.wait(10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def descendants(pid: int) -> list[psutil.Process]:
    """Return the processes that a daemon has started, none where it is gone."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def call(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it said."""
    return subprocess.run(command, capture_output=True, text=True, check=False)
