"""Several processes train one run, a GPU each; what one of them has to know of the others.

Full fine-tuning shards weights, gradients and the optimiser's state (FSDP2, torch's
`fully_shard`): https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html. Adapters are
small: each process has them all, and gradients are averaged.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor, distributed, nn
from torch.distributed import HashStore, TCPStore  # type: ignore[attr-defined]
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from matcg.config.backbone import Backbone
from matcg.models.loading import load_model

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

# So long others wait for one that writes a checkpoint, or that loads from a slow disk.
_PATIENCE = timedelta(hours=1)
HERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where the processes of a run meet, and which of all, and of its host's, this one is."""

    host: str
    port: int
    size: int
    rank: int
    local_rank: int


@dataclass(frozen=True, slots=True)
class World:
    """The processes of a run: this one's rank and device, and, if weights are sharded, the mesh."""

    device: torch.device
    rank: int = 0
    size: int = 1
    mesh: DeviceMesh | None = None

    @property
    def first(self) -> bool:
        """Return whether this process writes what is written once."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Return each value summed over all processes."""
        return self._reduce(values, distributed.ReduceOp.SUM)

    def highest(self, *values: float) -> list[float]:
        """Return each value's maximum over all processes."""
        return self._reduce(values, distributed.ReduceOp.MAX)

    def _reduce(self, values: Sequence[float], how: distributed.ReduceOp.RedOpType) -> list[float]:
        if self.size == 1:
            return list(values)
        given = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(given, how)
        found: list[float] = given.tolist()
        return found


@contextmanager
def joined(device: str, sharded: bool, meeting: Meeting | None = None) -> Iterator[World]:
    """Join the other processes of a run while the body runs; without a `meeting` there are none.

    Args:
        device: cuda or cpu.
        sharded: weights are sharded, which one process alone does too, to hold them in two types.
        meeting: made by `launch`.
    """
    if meeting is None and not sharded:
        yield World(torch.device(device, 0) if device == "cuda" else torch.device(device))
        return
    rank, size = (meeting.rank, meeting.size) if meeting else (0, 1)
    own = None
    if device == "cuda":
        own = torch.device(device, meeting.local_rank if meeting else 0)
    if own:
        torch.cuda.set_device(own)
    distributed.init_process_group(
        "nccl" if own else "gloo",
        store=_store(meeting),
        rank=rank,
        world_size=size,
        timeout=_PATIENCE,
        device_id=own,
    )
    try:
        mesh = init_device_mesh(device, (size,)) if sharded else None
        yield World(own or torch.device("cpu"), rank, size, mesh)
    finally:
        distributed.destroy_process_group()


def meeting_store() -> Any:
    """Return the store at which processes meet, on a free port (`.port`) of this host."""
    return TCPStore(HERE, 0, is_master=True, wait_for_workers=False)


def _store(meeting: Meeting | None) -> Any:
    if meeting is None:
        return HashStore()
    if meeting.host == HERE and sys.platform == "linux":
        # Gloo would look for the network card that the host's name leads to; some lead nowhere.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    return TCPStore(meeting.host, meeting.port, is_master=False, timeout=_PATIENCE)


def shard(model: nn.Module, low: torch.dtype, mesh: DeviceMesh) -> None:
    """Shard a model in place: its weights in float32 lie on all processes, a part on each.

    Each layer is put together in `low` while it computes; gradients are averaged in float32.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard  # half a second

    policy = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32)
    for layer in _layers(model):
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    for table in _tables(model):
        fully_shard(table, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    # Cast in shards: whole, a model of 7B would take 28 GB on each GPU.
    model.float()


def _tables(model: nn.Module) -> list[nn.Module]:
    """Return embedding and head, unless they are one: the rest would be held whole with them."""
    base: Any = next((m for m in model.modules() if hasattr(m, "get_output_embeddings")), None)
    tables = [base.get_input_embeddings(), base.get_output_embeddings()] if base else []
    apart = len({id(table.weight) for table in tables}) == len(tables)
    return tables if apart else []


def _layers(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the members of all lists of layers, those within other members left out."""
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from _layers(child)


def alike(parameters: Iterable[Tensor], world: World) -> None:
    """Give all processes the first one's parameters."""
    if world.size > 1:
        for parameter in parameters:
            distributed.broadcast(parameter.data, 0)


def average_gradients(parameters: Iterable[Tensor], world: World) -> None:
    """Average the gradients of parameters that every process has whole."""
    if world.size == 1 or world.mesh is not None:  # sharded ones are averaged on the way back
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        distributed.all_reduce(parameter.grad)
        parameter.grad /= world.size


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor put together from its shards; all processes must call this alike."""
    found: Tensor = tensor.full_tensor() if _is_sharded(tensor) else tensor
    return found


def part_of_whole(tensor: Tensor, like: Tensor) -> Tensor:
    """Return what this process holds of a whole tensor, sharded as `like` is."""
    if _is_sharded(like) and tensor.shape == like.shape:
        from torch.distributed.tensor import distribute_tensor

        given = tensor.to(like.device)
        # Each process has read it whole: nothing has to be sent.
        return distribute_tensor(given, like.device_mesh, like.placements, src_data_rank=None)
    return tensor


def _is_sharded(tensor: Tensor) -> TypeGuard["DTensor"]:
    """Return whether a tensor is a DTensor, whose module one process alone need not import."""
    return hasattr(tensor, "full_tensor")


def copy_of_whole(model: nn.Module, backbone: Backbone, wanted: bool) -> nn.Module:
    """Return a sharded model whole, on the CPU in the backbone's type; all processes take part.

    It is the backbone, loaded anew where `wanted`, with these weights in it: so it is saved in the
    names that the backbone's own files have.
    """
    fresh = load_model(backbone.weights, backbone)[0] if wanted else model
    places = dict(fresh.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            tensor = whole(parameter)
            if wanted:
                places[name].copy_(tensor)
    return fresh
