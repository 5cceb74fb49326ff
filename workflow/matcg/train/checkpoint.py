"""Checkpoints of a fine-tuning: there whole or not at all, and of one run only.

Tensors are kept as safetensors and the rest as JSON, since unpickling runs what a file says.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from matcg.train.parallel import part_of_whole, whole

FORMAT = 1  # raised when older checkpoints can no longer be read; part of a run's digest
_SHARD = 1 << 30  # bytes a file: so much of a GPU's memory is copied at a time
STATE_FILE = "state.json"


@dataclass(frozen=True, slots=True)
class State:
    """What training goes on from: steps done, tensors by name, rows of metrics, seconds spent."""

    step: int
    tensors: Mapping[str, Tensor]
    rows: list[dict[str, float | None]]
    seconds: float
    tries: int


class Checkpoints:
    """A folder of one run's checkpoints; `run` is the digest of all that decides its weights."""

    def __init__(self, folder: Path, run: str) -> None:
        self.folder = folder
        self.run = run

    def write(self, state: State) -> None:
        """Write a checkpoint, then remove those before it.

        Raises:
            OSError: the disk is full or fails; the last whole checkpoint is still there.
        """
        final = self.folder / f"checkpoint-{state.step:08d}"
        part = final.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            self._fill(part, state)
            # Another try of this run may have come as far: the two are alike.
            shutil.rmtree(final, ignore_errors=True)
            part.rename(final)
            _sync(self.folder)
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
            raise
        for other in self._found():
            if other != final:
                shutil.rmtree(other)

    def _fill(self, part: Path, state: State) -> None:
        for number, shard in enumerate(_shards(state.tensors)):
            _write(part / f"{number:05d}.safetensors", save(shard))
        record = {
            "run": self.run,
            "step": state.step,
            "rows": state.rows,
            "seconds": state.seconds,
            "tries": state.tries,
            "tensors": sorted(state.tensors),
        }
        _write(part / STATE_FILE, json.dumps(record).encode())
        _sync(part)

    def clear(self) -> None:
        """Remove the checkpoints, once nothing needs them."""
        for path in self.folder.glob("checkpoint-*"):
            shutil.rmtree(path)

    def tidy(self) -> None:
        """Remove checkpoints that were not written to their end, and other runs'."""
        for part in self.folder.glob("checkpoint-*.part"):
            shutil.rmtree(part)
        for folder in self._found():
            with suppress(OSError, ValueError, KeyError, TypeError):
                if _record(folder)["run"] != self.run:
                    print(f"{folder} is of another run (data, recipe or code changed): removed")
                    shutil.rmtree(folder)

    def read(self) -> State | None:
        """Return the last checkpoint of this run that is whole and undamaged."""
        for folder in reversed(self._found()):
            try:
                record = _record(folder)
                if record["run"] == self.run:
                    return _state(folder, record)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                print(f"{folder} cannot be used: {error}", flush=True)
        return None

    def _found(self) -> list[Path]:
        """Return the checkpoints that were written to their end, the oldest first."""
        return sorted(p for p in self.folder.glob("checkpoint-*") if p.suffix != ".part")


def _record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    return found


def _state(folder: Path, record: Mapping[str, Any]) -> State:
    tensors: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
    if sorted(tensors) != record["tensors"]:
        raise ValueError("tensors are missing")
    return State(
        int(record["step"]), tensors, record["rows"], record["seconds"], int(record["tries"])
    )


def _shards(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors in groups of about _SHARD bytes, on the CPU."""
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        shard[name] = whole(tensor.detach()).cpu().contiguous()
        size += tensor.nbytes
        if size >= _SHARD:
            yield shard
            shard, size = {}, 0
    if shard:
        yield shard


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that knows no such thing
            raise
    finally:
        os.close(descriptor)


def assemble(tensors: Mapping[str, Tensor]) -> None:
    """Take part, as a process that writes nothing, in putting sharded tensors together."""
    for tensor in tensors.values():
        whole(tensor.detach())


def gather(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return all tensors that training changes, by name: weights, the optimiser's, torch's RNGs.

    Nothing here draws from the RNGs of Python and NumPy while it trains.
    """
    names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}
    tensors = {f"weight.{name}": p.detach() for p, name in names.items() if p.requires_grad}
    for parameter, state in optimiser.state.items():
        for key, value in state.items():
            tensors[f"state.{key}.{names[parameter]}"] = value
    tensors["rng.cpu"] = torch.get_rng_state()
    if (device := next(model.parameters()).device).type == "cuda":
        tensors["rng.cuda"] = torch.cuda.get_rng_state(device)
    return tensors


def restore(
    model: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what `gather` returned, into a model and an optimiser made the same way.

    Raises:
        KeyError: a trainable parameter of the model is not among the tensors.
    """
    named = dict(model.named_parameters())
    names = {parameter: name for name, parameter in named.items()}
    for name, parameter in named.items():
        if parameter.requires_grad:
            parameter.data.copy_(part_of_whole(tensors[f"weight.{name}"], parameter))
    states: dict[str, dict[str, Tensor]] = {name: {} for name in names.values()}
    for full, tensor in tensors.items():
        if full.startswith("state."):
            _, key, name = full.split(".", 2)
            # A copy of its own: what was read is a map of a file that is removed later.
            states[name][key] = part_of_whole(tensor, named[name]).clone()
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    kept = {n: state for n, p in enumerate(trained) if (state := states[names[p]])}
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": kept, "param_groups": groups})
    torch.set_rng_state(tensors["rng.cpu"].clone())
    if (device := trained[0].device).type == "cuda" and "rng.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng.cuda"].clone(), device)
