"""Gives every job on a machine GPUs of its own: a lock file a device, held while the job lives.

Snakemake counts GPUs but names none. The kernel frees the locks of a process however it ends.
Nothing here imports torch or vllm: what they see must be said before they are imported.
"""

import fcntl
import hashlib
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from matcg.errors import ConfigError

VISIBLE = "CUDA_VISIBLE_DEVICES"
# A scheduler's job may count its devices from 0, as may another's on the same machine.
SCHEDULER_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")
_POLL = 0.05  # seconds between looks at a lock; two jobs must not look in step for ever
_GRACE = 1.0  # seconds that a job waits before it says so
_HELD: list[str] = []


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU: its word in `CUDA_VISIBLE_DEVICES`, and its lock, which all who share it must name."""

    word: str
    lock: str


@dataclass(frozen=True, slots=True)
class Card:
    """What `nvidia-smi -L` says of a GPU; `slices` are the UUIDs of its MIG instances."""

    name: str
    uuid: str
    slices: tuple[str, ...] = ()


def parse_visible(text: str) -> list[str]:
    """Return the words of a `CUDA_VISIBLE_DEVICES`; one that names no device ends it, as in CUDA.

    Raises:
        ConfigError: a device is named twice, for which CUDA shows none.
    """
    words: list[str] = []
    for word in (part.strip() for part in text.split(",")):
        if not re.fullmatch(r"\d+|(GPU|MIG)-[\w/-]+", word):
            break
        if word in words:
            raise ConfigError(f"{VISIBLE}={text}: {word} is named twice; name each device once")
        words.append(word)
    return words


def parse_cards(text: str) -> list[Card]:
    """Return the GPUs in the output of `nvidia-smi -L`, in its order, that of the PCI bus."""
    cards: list[Card] = []
    for line in text.splitlines():
        if found := re.match(r"GPU \d+: (.*) \(UUID: (GPU-[\w-]+)\)", line):
            cards.append(Card(found[1], found[2]))
        elif cards and (found := re.match(r"\s+MIG .*\(UUID: (MIG-[\w/-]+)\)", line)):
            last = cards[-1]
            cards[-1] = Card(last.name, last.uuid, (*last.slices, found[1]))
    return cards


def list_cards() -> list[Card]:
    """Return the GPUs that nvidia-smi lists, none where there is no such program or it fails."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    except OSError:
        return []
    return parse_cards(done.stdout) if done.returncode == 0 else []


def smallest_memory() -> float | None:
    """Return the GiB of the smallest GPU that jobs may use, None where it is not known.

    Nor is it of slices, of whose cards nvidia-smi tells.
    """
    if any(card.slices for card in list_cards()):
        return None
    words = parse_visible(os.environ.get(VISIBLE, ""))
    asked = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            [*asked, *([f"--id={','.join(words)}"] if words else [])],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    found = re.findall(r"^\d+$", done.stdout, re.MULTILINE) if done.returncode == 0 else []
    return min(map(int, found)) / 1024 if found else None  # of MiB


def lock_of(word: str, cards: Sequence[Card]) -> str:
    """Return a device's UUID where it is known for sure, else the word itself."""
    if word.isdigit():
        # Without this order CUDA counts from the fastest card on, which nvidia-smi does not know.
        ordered = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
        alike = len({card.name for card in cards}) == 1
        return cards[int(word)].uuid if (ordered or alike) and int(word) < len(cards) else word
    whole = [card.uuid for card in cards if card.uuid.startswith(word)]  # CUDA takes beginnings
    return whole[0] if len(whole) == 1 else word


def pool() -> tuple[Device, ...]:
    """Return the devices that jobs may use: `CUDA_VISIBLE_DEVICES`, else all of the machine.

    What a scheduler gave to its job is locked among that job's processes only.

    Raises:
        ConfigError: the variable names a device twice.
    """
    visible = os.environ.get(VISIBLE)
    if visible is None:
        cards = list_cards()
        words = [uuid for card in cards for uuid in (card.slices or (card.uuid,))]
        return tuple(Device(word, word) for word in words)
    words = parse_visible(visible)
    job = next((f"{name}-{os.environ[name]}" for name in SCHEDULER_JOBS if name in os.environ), "")
    if job:
        return tuple(Device(word, f"{job}-{word}") for word in words)
    cards = list_cards() if words else []
    locks = [lock_of(word, cards) for word in words]
    # vLLM takes no beginning of a UUID, as CUDA does.
    whole = [word if word.isdigit() else lock for word, lock in zip(words, locks, strict=True)]
    return tuple(map(Device, whole, locks))


def limit(asked: Mapping[str, int], given: int | None) -> int:
    """Return how many GPUs Snakemake may hand out: `given` (`--resources gpu=N`), else the pool.

    `asked` says by backbone how many GPUs a job of it wants.

    Raises:
        ConfigError: a job wants more; Snakemake itself would make do with fewer, and say nothing.
    """
    there = len(pool())
    for name, wanted in sorted(asked.items()):
        if given is not None and wanted > given:
            raise ConfigError(_too_few(f"backbone {name}", wanted, given))
        if wanted > there:
            raise ConfigError(_too_few(f"backbone {name}", wanted))
    return there if given is None else given


def _too_few(who: str, wanted: int, given: int | None = None) -> str:
    """Return what to say where there are fewer devices than a job wants."""
    if given is not None:
        there = f"--resources gpu={given} allows {given}; raise it"
    elif (visible := os.environ.get(VISIBLE)) is not None:
        there = f"{VISIBLE}={visible} names {len(pool())}; name more"
    else:
        there = f"nvidia-smi lists {len(pool())}; name others in {VISIBLE}"
    return (
        f"{who}: a job asks for gpu={wanted}, but {there}, or lower resources.gpu of the backbone"
    )


def leased() -> list[str]:
    """Return the words of the devices that this process has leased."""
    return list(_HELD)


def _say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def lease(count: int, who: str, tell: Callable[[str], None] = _say) -> Iterator[None]:
    """Hold `count` devices and let CUDA see no others while the body runs; 0 changes nothing.

    `who` is what others are told who wait for them, `tell` is told what this job waits for.

    Raises:
        ConfigError: there are fewer devices than that, or the locks cannot be kept.
    """
    if not count:
        yield
        return
    devices = pool()
    if count > len(devices):
        raise ConfigError(_too_few(who, count))
    before = os.environ.get(VISIBLE)
    with ExitStack() as stack:
        words = _acquire(stack, devices, count, who, tell)
        os.environ[VISIBLE] = ",".join(words)
        _HELD[:] = words
        _say(f"GPU {', '.join(words)} leased")
        try:
            yield
        finally:
            _HELD.clear()
            os.environ.pop(VISIBLE)
            if before is not None:
                os.environ[VISIBLE] = before


def _acquire(
    stack: ExitStack,
    devices: Sequence[Device],
    count: int,
    who: str,
    tell: Callable[[str], None],
) -> list[str]:
    """Return the words of `count` devices, whose locks are held until the stack is closed."""
    folder = lock_folder()
    names = ",".join(sorted(device.lock for device in devices))
    queue = f"queue-{hashlib.sha256(names.encode()).hexdigest()[:12]}"
    soon = time.monotonic() + _GRACE
    told = False

    def pause() -> None:
        nonlocal told
        if not told and time.monotonic() >= soon:
            tell(_waiting(folder, devices, count))
            told = True
        time.sleep(_POLL * random.uniform(0.5, 1.5))

    # Whose turn it is is not overtaken: a job that wants all devices gets them as the others end.
    # Jobs with another pool do not stand in this queue.
    with ExitStack() as turn:
        while _lock(turn, folder / queue) is None:
            pause()
        while not (words := _try(stack, folder, devices, count, who)):
            pause()
    return words


def _try(
    stack: ExitStack, folder: Path, devices: Sequence[Device], count: int, who: str
) -> list[str]:
    """Lock `count` devices now, or none: one that holds some and waits for others can deadlock."""
    with ExitStack() as some:
        words: list[str] = []
        for device in devices:
            file = _lock(some, folder / device.lock.replace("/", "_"))
            if file is not None:
                os.ftruncate(file, 0)
                os.pwrite(file, f"process {os.getpid()}, {who}".encode(), 0)
                words.append(device.word)
            if len(words) == count:
                stack.push(some.pop_all())
                return words
    return []


def _lock(stack: ExitStack, path: Path) -> int | None:
    """Return the descriptor of a file that is locked until the stack is closed, None if taken."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    stack.callback(os.close, file)
    return file


def _waiting(folder: Path, devices: Sequence[Device], count: int) -> str:
    """Return what a job waits for, and who was last to hold it."""
    holders = []
    for device in devices:
        path = folder / device.lock.replace("/", "_")
        holder = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        holders.append(f"{device.word}: {holder or 'free'}")
    return f"waiting for {count} of these GPUs, last held by {'; '.join(holders)}"


def lock_folder() -> Path:
    """Return the folder of the lock files, this user's own: `MATCG_LEASES`, else one in /tmp.

    Not `TMPDIR`, which may differ between jobs, nor a disk that machines share: indices of devices
    would be mixed up, and not every network file system knows locks.

    Raises:
        ConfigError: somebody else made it.
    """
    folder = Path(os.environ.get("MATCG_LEASES") or f"/tmp/matcg-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ConfigError(
            f"{folder}: belongs to another user or is a link, so locks on GPUs cannot be kept "
            "there; name a folder of your own on a local disk in MATCG_LEASES"
        )
    return folder
