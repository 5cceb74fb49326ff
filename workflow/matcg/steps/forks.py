"""Lets short jobs run in forks of one process that has imported what they need.

Of a small fine-tuning a third are imports. Snakemake's process starts a server, and the address of
its socket goes to all jobs in an environment variable. A job's process (`hand_over`) tells the
server its script, descriptors and signals, and ends as the fork ends that runs the script. Where
anything differs, such as the environment or the library's files, it runs the script itself.
"""

import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

ADDRESS = "MATCG_FORKS"  # the name of the server's socket; "no" where none is wanted
# Scripts that are handed over.
STEPS = (
    *("enumerate", "enumerate_experiment", "prepare", "summarise", "world", "leaks", "lengths"),
    *("mix", "audit", "finetune", "compare", "figures", "leak_pairs", "report", "published_test"),
    "predict",
)
# To a server of its own: vLLM looks at all that is imported.
ALONE = "predict"
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP)
LIBRARY = Path(__file__).resolve().parents[1]
_SERVERS: list[subprocess.Popen[bytes]] = []


def code_state() -> str:
    """Return a digest of Python and of the library's files by name, size and time.

    An edit makes another, as does an environment of conda's or a container's.
    """
    python = Path(sys.executable).stat()
    found = hashlib.sha256(f"{sys.prefix} {python.st_dev} {python.st_ino}".encode())
    for path in sorted(LIBRARY.rglob("*.py")):
        stat = path.stat()
        found.update(f"{path} {stat.st_size} {stat.st_mtime_ns}".encode())
    return found.hexdigest()


def start_server() -> None:
    """Start the server for the jobs of this process, which is Snakemake's; once.

    It ends with this process, and starts none of the imports before the first job asks.
    """
    if _SERVERS or os.environ.get(ADDRESS) == "no" or sys.platform != "linux":
        return  # macOS' own libraries do not go on in a fork
    os.environ[ADDRESS] = f"matcg-{os.getpid()}-{os.urandom(8).hex()}"
    python_path = os.pathsep.join(filter(None, [str(LIBRARY.parent), os.getenv("PYTHONPATH")]))
    with socket.socket(socket.AF_UNIX) as usual, socket.socket(socket.AF_UNIX) as alone:
        for listener, step in ((usual, ""), (alone, ALONE)):
            listener.bind(_name(os.environ[ADDRESS], step))
            listener.listen(128)
        numbers = [usual.fileno(), alone.fileno()]
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "matcg.steps.fork_server", *map(str, numbers)],
            stdin=subprocess.PIPE,  # its end is that of this process
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=numbers,
            env={**os.environ, "PYTHONPATH": python_path},
        )
    _SERVERS.append(server)


def _name(address: str, step: str) -> str:
    """Return the socket's name for a step: no file, so that it goes with the socket."""
    return f"\0{address}{'-alone' if step == ALONE else ''}"


def is_own(peer: socket.socket) -> bool:
    """Tell whether a process of this user is at the other end: any can connect to such a name."""
    told = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", told)[1] == os.getuid())


def hand_over(snakemake: Any) -> None:
    """Let a fork run the script of this process, and end as it ends; return where none can.

    `snakemake` is what Snakemake tells a script.
    """
    main = sys.modules["__main__"]
    address, script = os.environ.get(ADDRESS), getattr(main, "__real_file__", None)
    source = Path(getattr(main, "__file__", None) or "")
    if not (address and script and source.stem in STEPS) or snakemake.resources.get("gpu", 0):
        return
    asked = {
        "source": str(source),
        "script": script,
        "spec": snakemake.params.get("spec", ""),
        "folder": str(Path.cwd()),
        "path": sys.path,
        "environment": dict(os.environ),
        "ignored": [number for number in SIGNALS if signal.getsignal(number) == signal.SIG_IGN],
        "code": code_state(),
    }
    with suppress(OSError), socket.socket(socket.AF_UNIX) as server, _relayed() as relay:
        server.connect(_name(address, source.stem))
        if is_own(server):
            socket.send_fds(server, [b"."], [0, 1, 2])
            server.sendall(json.dumps(asked).encode() + b"\n")
            _follow(server, relay)


class _Relay:
    """Passes signals on to a fork, those that come before it is there too."""

    def __init__(self) -> None:
        self.pid = 0
        self._waiting: list[int] = []

    def note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
        else:
            self._waiting.append(number)

    def to(self, pid: int) -> None:
        """Pass on what has come, and what will come, to a process."""
        self.pid, waiting, self._waiting = pid, self._waiting, []
        for number in waiting:
            self.note(number, None)


@contextmanager
def _relayed() -> Iterator[_Relay]:
    """Pass signals on while the body runs; to this process itself where no fork was there."""
    relay = _Relay()
    before = {number: signal.signal(number, relay.note) for number in SIGNALS}
    try:
        yield relay
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if not relay.pid:
            relay.to(os.getpid())


def _follow(server: socket.socket, relay: _Relay) -> None:
    """Wait for the fork and end as it ends; return where the server makes none."""
    with server.makefile() as said:
        pid, status = int(said.readline() or 0), ""
        if not pid:
            return
        relay.to(pid)
        with suppress(OSError):
            status = said.readline()
    if not status:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        sys.stderr.write("matcg: the process whose fork ran this job was killed; call again\n")
        raise SystemExit(1)
    if int(status) < 0:
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-int(status), signal.SIG_DFL)
        os.kill(os.getpid(), -int(status))
    raise SystemExit(int(status))
