"""Checks of weight files before an engine reads them: whole weights and adapters."""

import json
import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from matcg.config.backbone import Backbone
from matcg.errors import DataError
from matcg.models import families

ADAPTER = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
INDEX = "model.safetensors.index.json"
# Buffers that classes compute anew, in checkpoints of old beside the weights.
_COMPUTED = r"\b(?:inv_freq|position_ids)$"
Shapes = dict[str, tuple[int, ...]]


def part_of(name: str) -> str:
    """Return the part (tower, projector or llm) that a parameter belongs to."""
    pieces = f".{name}."
    for part, marks in families.parameter_marks().items():
        if any(f".{mark}." in pieces for mark in marks):
            return part
    return "llm"


def check_whole(weights: Path | str, backbone: Backbone) -> None:
    """Raise DataError where a folder's weights are missing, unreadable or not the backbone's.

    Those that commands of its own have written are for these to check.
    """
    if backbone.commands:
        return
    if str(weights) == backbone.weights and not Path(weights).is_dir():
        return  # a name on the hub
    base = weights_folder(backbone)
    found, expected = (_saved(folder) for folder in (Path(weights), base))
    odd = sorted(name for name in found | expected if found.get(name) != expected.get(name))
    if odd:
        raise DataError(
            f"{weights}: {len(odd)} weights are not as in backbone {backbone.name}, the first is"
            f" {odd[0]}: {_sized(found, odd[0])} here, {_sized(expected, odd[0])} there; train the"
            " run again"
        )


def weights_folder(backbone: Backbone) -> Path:
    """Return the folder of a backbone's weights; of a hub name that of the loaded copy.

    Raises:
        DataError: this machine has no copy.
    """
    folder = Path(backbone.weights)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    name, revision = backbone.weights, backbone.revision
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        raise DataError(
            f"{name}: weights of its runs are held against this backbone's own, and the hub's cache"
            f" here has no copy of these; `hf download {name} --revision {revision}`"
        ) from None


def _saved(folder: Path) -> Shapes:
    """Return the shapes of what a folder's class saves: old checkpoints hold more."""
    file = folder / "config.json"
    config = json_in(file) if file.is_file() else {}
    tied = (config | config.get("text_config", {})).get("tie_word_embeddings", False)
    left = re.compile(_COMPUTED if not tied else rf"{_COMPUTED}|\blm_head\.weight$")
    return {name: shape for name, shape in whole_shapes(folder).items() if not left.search(name)}


def whole_shapes(folder: Path) -> Shapes:
    """Return the shape of each tensor in a folder of whole weights, in one file or several.

    Raises:
        DataError: a file is missing or cannot be read.
    """
    index = folder / INDEX
    if index.is_file():
        files = sorted({folder / name for name in json_in(index)["weight_map"].values()})
    else:
        files = [folder / "model.safetensors"]
    shapes: Shapes = {}
    for file in files:
        shapes |= shapes_in(file)
    return shapes


def shapes_in(file: Path) -> Shapes:
    """Return the shape of each tensor in a safetensors file; only its header is read.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    if not file.is_file():
        raise DataError(f"{file}: this weights file is missing; train the run again")
    try:
        with safe_open(file, framework="numpy") as tensors:
            names = tensors.keys()
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{file}: this weights file cannot be read ({error}); train the run again"
        ) from None


def adapter_config(folder: Path) -> dict[str, Any]:
    """Return what a run's adapter is, empty where the folder holds whole weights.

    Raises:
        DataError: the file cannot be read.
    """
    file = folder / ADAPTER_CONFIG
    return json_in(file) if file.is_file() else {}


def check_adapter(folder: Path, backbone: Backbone) -> None:
    """Raise DataError where an adapter is missing, unreadable or made for other layers."""
    if not adapter_config(folder):
        raise DataError(f"{folder}: holds no {ADAPTER_CONFIG}, so no adapter; train the run again")
    shapes = shapes_in(folder / ADAPTER)
    base = whole_shapes(weights_folder(backbone))
    known = {_layer(name): shape for name, shape in base.items()}
    for name, shape in shapes.items():
        for mark, axis in ((".lora_A.weight", 1), (".lora_B.weight", 0)):
            layer, found, _ = name.partition(mark)
            size = known.get(_layer(layer + ".weight"))
            if found and (size is None or size[axis] != shape[axis]):
                raise DataError(
                    f"{folder}: this adapter does not fit backbone {backbone.name}: {name} is"
                    f" {shape}, the layer is {size or 'not there'}; name the backbone that it was"
                    " trained on, or train the run again"
                )


def _layer(name: str) -> tuple[str, str]:
    """Return a weight's part and its name there: what stands before differs between formats."""
    found = re.search(r"\b(?:layers|blocks)\.\d.*", name)
    return part_of(name), found[0] if found else re.sub(r"^(?:(?:base_)?model\.)+", "", name)


def _sized(shapes: Shapes, name: str) -> str:
    return "x".join(map(str, shapes[name])) if name in shapes else "none"


def json_in(file: Path, advice: str = "train the run again") -> dict[str, Any]:
    """Return the mapping in a JSON file.

    Raises:
        DataError: it is missing or damaged; ends with the advice.
    """
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error}); {advice}") from None
    return found
