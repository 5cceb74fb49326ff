"""What a Slurm partition can give at most: a job that asks for more would wait for ever."""

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# Slurm keeps such a job pending, with the reason PartitionTimeLimit, or refuses each of its tries.
# `sbatch --test-only` would know more, but not of time, and takes nodes that rest for lost.
PARTITIONS = ("scontrol", "show", "partition", "--oneliner")
NODES = ("sinfo", "--noheader", "--all", "--Node", "--format=%R|%c|%m|%G")


@dataclass(frozen=True, slots=True)
class Node:
    """Cores, MB and GPUs that a node has, in use or not."""

    cpus: int
    mem_mb: int
    gpus: int

    def holds(self, request: "Request") -> bool:
        """Return whether a job fits, on the empty node."""
        asked, here = (request.cpus, request.mem_mb, request.gpus), (self.cpus, self.mem_mb)
        return all(a <= h for a, h in zip(asked, (*here, self.gpus), strict=True))

    def __str__(self) -> str:
        return f"{self.cpus} cores, {self.mem_mb} MB and {self.gpus} GPUs"


@dataclass(frozen=True, slots=True)
class Partition:
    """Its longest time in minutes, None without a bound, and the kinds of its nodes."""

    name: str
    minutes: int | None
    nodes: tuple[Node, ...]
    default: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What one try of a job asks for, all of it of one node; partition "" is the default one.

    `partition` may name several, separated by commas, of which Slurm takes one.
    """

    what: str
    partition: str
    minutes: int
    cpus: int
    mem_mb: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Most:
    """The longest time, in minutes, and the most MB that later tries can ask for; None: any."""

    minutes: int | None
    mem_mb: int | None


def read_partitions() -> list[Partition]:
    """Return the cluster's partitions; none where Slurm cannot be asked."""
    try:
        said = [
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
            for command in (PARTITIONS, NODES)
        ]
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_partitions(*said)


def parse_partitions(shown: str, listed: str) -> list[Partition]:
    """Return partitions from what the two commands say."""
    nodes: dict[str, set[Node]] = {}
    for line in listed.splitlines():
        where, cpus, memory, devices = line.split("|", 3)
        # "4+" stands for at least 4, where a line speaks of several nodes.
        node = Node(int(cpus.rstrip("+")), int(memory.rstrip("+")), gpus_in(devices))
        nodes.setdefault(where, set()).add(node)
    found = []
    for line in shown.splitlines():
        fields = dict(re.findall(r"(\w+)=(\S*)", line))
        if name := fields.get("PartitionName"):
            known = tuple(sorted(nodes.get(name, ()), key=lambda n: (n.gpus, n.mem_mb, n.cpus)))
            minutes = _minutes(fields.get("MaxTime", "UNLIMITED"))
            found.append(Partition(name, minutes, known, fields.get("Default") == "YES"))
    return found


def gpus_in(devices: str) -> int:
    """Return how many GPUs a gres is, as in `gpu:2(S:0)`, `gpu:a100:4,shard:8` or `(null)`."""
    return sum(int(n) for n in re.findall(r"(?:^|,)gpu:(?:[^:,(]+:)?(\d+)", devices))


def _minutes(text: str) -> int | None:
    """Return the minutes of `2-12:00:00`, `12:00:00`, `30:00`; None for what has no bound."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if not match:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in match.groups())
    return days * 1440 + hours * 60 + minutes


def impossible(request: Request, partitions: Sequence[Partition]) -> str:
    """Return why a request can never be met, or nothing; a partition not known is left to Slurm."""
    asked = _asked(request, partitions)
    if not asked or any(_meets(each, request) for each in asked):
        return ""
    return "; ".join(_why(each, request) for each in asked)


def most(request: Request, partitions: Sequence[Partition]) -> Most:
    """Return how far time and memory can grow where the request itself can be met."""
    fit = [each for each in _asked(request, partitions) if _meets(each, request)]
    times = [each.minutes for each in fit]
    rooms = [node.mem_mb for each in fit for node in each.nodes if node.holds(request)]
    bounds = [minutes for minutes in times if minutes is not None]
    return Most(
        max(bounds) if bounds and len(bounds) == len(times) else None,
        max(rooms, default=None),
    )


def _asked(request: Request, partitions: Iterable[Partition]) -> list[Partition]:
    names = request.partition.split(",") if request.partition else None
    return [each for each in partitions if (each.name in names if names else each.default)]


def _meets(partition: Partition, request: Request) -> bool:
    in_time = partition.minutes is None or request.minutes <= partition.minutes
    # Nodes of a cloud may not be listed while nobody uses them.
    return in_time and (not partition.nodes or any(node.holds(request) for node in partition.nodes))


def _why(partition: Partition, request: Request) -> str:
    if partition.minutes is not None and request.minutes > partition.minutes:
        asks, gives = f"{request.minutes} minutes", f"{partition.minutes}"
    else:
        asks = str(Node(request.cpus, request.mem_mb, request.gpus))
        gives = f"on its nodes {', or '.join(map(str, partition.nodes))}"
    return f"{request.what} asks for {asks}, partition {partition.name} has {gives}"


def request_of(what: str, threads: int, resources: Mapping[str, object]) -> Request:
    """Return what Slurm is asked for by the resources of a job, or of a group of jobs."""

    def number(name: str) -> int:
        value = resources.get(name)
        return value if isinstance(value, int) else 0

    gres = str(resources.get("gres") or "")
    return Request(
        what,
        str(resources.get("slurm_partition") or ""),
        number("runtime"),
        number("cpus_per_task") or threads,
        number("mem_mb"),
        number("gpu") or gpus_in(gres if re.search(r":\d+$", gres) else f"{gres}:1"),
    )
