"""Safetensors files taken apart and put together by bytes, in megabytes of memory at any size.

The format: 8 bytes with the length of a JSON header, the header (of each tensor its type, shape and
place in what follows), the tensors (https://github.com/huggingface/safetensors, section Format).
Tensors that only get other names are never decoded, so no bit of them can change.
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open

from matcg.errors import DataError
from matcg.models.weights import INDEX

_CHUNK = 16 << 20
_SHARD = 4 << 30  # bytes of tensors in a file; more memory is needed nowhere, so any size would do


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies, and bytes of rows that are to follow its own."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int
    added: bytes = b""

    @property
    def size(self) -> int:
        """Return its bytes, those of added rows included."""
        return self.end - self.start + len(self.added)

    def with_rows(self, row: bytes, count: int) -> "Tensor":
        """Return the tensor with `count` rows more, each of these bytes."""
        shape = (self.shape[0] + count, *self.shape[1:])
        return replace(self, shape=shape, added=row * count)


def read_folder(folder: Path) -> dict[str, Tensor]:
    """Return all tensors in a folder's safetensors files, by name.

    Raises:
        DataError: there is no such file, one that the index names is missing, one cannot be read,
            or two hold a tensor of one name.
    """
    files = sorted(folder.glob("*.safetensors"))
    index = folder / INDEX
    if index.is_file():
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        files = sorted({folder / name for name in named})
    if not files:
        raise DataError(_none(folder))
    found: dict[str, Tensor] = {}
    for file in files:
        tensors = read_header(file)
        if twice := sorted(found.keys() & tensors.keys()):
            raise DataError(f"{file}: holds {twice[0]}, which {found[twice[0]].file.name} has too")
        found |= tensors
    return found


def _none(folder: Path) -> str:
    """Return the error about a folder without safetensors files."""
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    held = f", only {pickles[0]}" if pickles else ""
    return (
        f"{folder}: holds no .safetensors file{held}. Files that end in .bin are Python pickles,"
        " which can run code, and are not read: name a revision of the repository that has"
        " safetensors, or save the weights as such in an environment that you trust, and name that"
        " folder"
    )


def read_header(file: Path) -> dict[str, Tensor]:
    """Return the tensors of one file.

    Raises:
        DataError: the file is missing, cut off or no safetensors file.
    """
    try:
        with safe_open(file, framework="numpy"):  # checks the header against the file's length
            pass
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{file}: cannot be read ({error}); remove it, and fetch or copy it again"
        ) from None
    header.pop("__metadata__", None)
    return {name: _tensor(file, name, entry, 8 + length) for name, entry in header.items()}


def _tensor(file: Path, name: str, entry: Mapping[str, Any], begin: int) -> Tensor:
    start, end = entry["data_offsets"]
    return Tensor(file, name, entry["dtype"], tuple(entry["shape"]), begin + start, begin + end)


def write_folder(tensors: Mapping[str, Tensor], out: Path, limit: int = _SHARD) -> None:
    """Write tensors by new names to files of at most `limit` bytes (or one tensor), and an index.

    Equal tensors give equal files, wherever they come from.
    """
    shards = list(_shards(tensors, limit))
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        _write_file({name: tensors[name] for name in names}, out / file)
        weight_map |= dict.fromkeys(names, file)
    total = sum(tensor.size for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (out / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _shards(tensors: Mapping[str, Tensor], limit: int) -> Iterator[Sequence[str]]:
    """Yield the names for each file."""
    # Readers expect a number to begin at a multiple of its bytes: wide numbers come first.
    order = sorted(tensors, key=lambda name: (-_width(tensors[name].dtype), name))
    shard: list[str] = []
    size = 0
    for name in order:
        if shard and size + tensors[name].size > limit:
            yield shard
            shard, size = [], 0
        shard.append(name)
        size += tensors[name].size
    yield shard


def _width(dtype: str) -> int:
    """Return the bits of a number, as in BF16."""
    digits = "".join(mark for mark in dtype.split("_")[0] if mark.isdigit())
    return int(digits or 8)


def _write_file(tensors: Mapping[str, Tensor], file: Path) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        places = [end, end := end + tensor.size]
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": places}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            _copy(tensor, out)


def _copy(tensor: Tensor, out: BinaryIO) -> None:
    """Append a tensor's bytes.

    Raises:
        DataError: its file has become shorter since its header was read.
    """
    with tensor.file.open("rb") as stream:
        stream.seek(tensor.start)
        left = tensor.end - tensor.start
        while left:
            chunk = stream.read(min(left, _CHUNK))
            if not chunk:
                raise DataError(f"{tensor.file}: ends within {tensor.name}; fetch it again")
            out.write(chunk)
            left -= len(chunk)
    out.write(tensor.added)
