"""One process a run: a lock file that names its living holder, on all hosts that share the disk.

Many network file systems keep `flock` to one host. So the lock is a JSON file, and its time of
change, which a thread of the holder renews, shows that the holder lives.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from matcg.errors import StoppedError

BEAT = 20.0  # seconds between two signs of life
STALE = 180.0  # seconds without: a holder elsewhere is dead; NFS shows signs up to a minute late
POLL = 2.0  # seconds between two looks at a holder
CLOCK = 5.0  # seconds by which a process's start may seem to move when the clock is set


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a lock; `started` in seconds since 1970, `slurm_*` empty elsewhere.

    `pids` tells containers apart that share a host's name but not its numbers of processes.
    """

    host: str
    pids: str
    pid: int
    started: float
    slurm_job: str
    slurm_restart: str
    token: str

    @classmethod
    def here(cls) -> "Holder":
        """Return this process, under a token of its own."""
        pids = Path("/proc/self/ns/pid")
        return cls(
            host=socket.gethostname(),
            pids=str(pids.readlink()) if pids.is_symlink() else "",
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            slurm_job=os.environ.get("SLURM_JOB_ID", ""),
            slurm_restart=os.environ.get("SLURM_RESTART_COUNT", "0"),
            token=uuid.uuid4().hex,
        )

    def beside(self, other: "Holder") -> bool:
        """Return whether this process can see the other one."""
        return (self.host, self.pids) == (other.host, other.pids)

    def runs(self) -> bool:
        """Return whether a process of this host is still the one that took the lock."""
        try:
            process = psutil.Process(self.pid)
            ended = process.status() == psutil.STATUS_ZOMBIE
            return not ended and abs(process.create_time() - self.started) < CLOCK
        except psutil.NoSuchProcess:
            return False

    def __str__(self) -> str:
        job = f", Slurm job {self.slurm_job}" if self.slurm_job else ""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.started))
        return f"process {self.pid} on {self.host} (started {since}{job})"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a process that works for a lock's holder knows of it."""

    path: Path
    token: str

    def check(self) -> None:
        """Raise StoppedError where another process has taken the lock over.

        That happens to one that gave no sign of life for long: suspended, or cut off from the disk.
        """
        found = read_holder(self.path)
        if found is None or found.token != self.token:
            raise StoppedError(f"{self.path}: taken over by {found or 'another process'}")


class Lock:
    """A lock that this process holds; see `held`."""

    def __init__(self, path: Path, holder: Holder, waited: bool) -> None:
        self.path = path
        self.holder = holder
        self.claim = Claim(path, holder.token)
        self.waited = waited
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with suppress(OSError):  # shown by `check`, where it can stop the work
                os.utime(self.path)

    def check(self) -> None:
        """Raise StoppedError where another process has taken the lock over."""
        self.claim.check()

    def release(self) -> None:
        """Give the lock back, if it is still this process's."""
        self._ended.set()
        self._thread.join()
        with suppress(StoppedError):
            self.check()
            self.path.unlink(missing_ok=True)


@contextmanager
def held(path: Path) -> Iterator[Lock]:
    """Hold the lock at `path` while the body runs.

    A dead holder's lock is taken over. A living holder in reach of this process, one that a killed
    Snakemake left behind, is waited for; elsewhere, and in a Slurm job, where waiting would keep a
    GPU idle, it is not. One elsewhere may have been killed a moment ago, and this be its retry: it
    is watched until it gives a sign of life or has given none for long.

    Raises:
        StoppedError: a living holder that is not waited for; names it.
    """
    me = Holder.here()
    waited = False
    seen: dict[str, float] = {}
    while not _create(path, me):
        other = read_holder(path)
        if other is None or not lives(other, me, path):
            _bury(path, other)
        elif other.beside(me) and not me.slurm_job:
            if not waited:
                print(f"waiting for {other}, which trains this run", flush=True)
            waited = True
            time.sleep(POLL)
        elif not other.beside(me) and seen.setdefault(other.token, _beat(path)) == _beat(path):
            time.sleep(POLL)
        else:
            raise StoppedError(
                f"{path}: this run is being trained by {other}; call again when it has ended, or"
                " end it"
            )
    lock = Lock(path, me, waited)
    try:
        yield lock
    finally:
        lock.release()


def _create(path: Path, holder: Holder) -> bool:
    """Return whether the lock was free and is now this process's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{holder.token}")
    try:
        part.write_text(json.dumps(asdict(holder)) + "\n", encoding="utf-8")
        # A link is made whole or not at all, on NFS too: nobody reads half a lock.
        os.link(part, path)
    except (FileExistsError, FileNotFoundError):  # the folder goes with the run that has ended
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


def read_holder(path: Path) -> Holder | None:
    """Return who holds the lock; None where nobody does, or the file cannot be understood."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def lives(other: Holder, me: Holder, path: Path) -> bool:
    """Return whether the holder of the lock at `path` is at work."""
    same_job = other.slurm_job != "" and other.slurm_job == me.slurm_job
    if same_job and other.slurm_restart != me.slurm_restart:
        # Slurm starts a requeued job only when what ran before has ended, often on another host.
        return False
    if other.beside(me):
        return other.runs()
    return _age(path) < STALE


def _beat(path: Path) -> float:
    """Return when the holder last gave a sign of life; 0 where the lock has gone."""
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0


def _age(path: Path) -> float:
    """Return seconds since the last sign of life, by the clock that dates the disk's files."""
    probe = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


def _bury(path: Path, dead: Holder | None) -> None:
    """Remove a dead holder's lock, and none that another process has put in its place meanwhile."""
    grave = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        path.rename(grave)
    except FileNotFoundError:
        return
    if read_holder(grave) == dead:
        grave.unlink()
        return
    with suppress(FileExistsError):
        os.link(grave, path)
    grave.unlink()
