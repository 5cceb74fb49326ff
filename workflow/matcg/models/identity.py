"""What decides a backbone: a digest of its weights, with the settings that training or asking sees.

Weights are known by their content where they are a folder, by name and revision where they are on
the hub, and by the checkpoint they are made of where a rule converts them.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from matcg import versions
from matcg.config.backbone import ASKING, CONVERTED, Backbone, Original
from matcg.identity import digest, script

SMALL_WEIGHTS = 64_000_000  # bytes up to which weights are digested whole
BLOCKS, BLOCK = 32, 4096  # blocks, and bytes of each, that stand for a larger file


def of_backbone(backbone: Backbone) -> str:
    """Return what decides a backbone that is trained: weights, prompt, type, picture."""
    return digest(settings(backbone))


def of_asking(backbone: Backbone) -> str:
    """Return what decides how a backbone and its runs answer, besides weights and questions."""
    return digest(versions.PREDICT, script("predict"), settings(backbone), backbone.asked())


def settings(backbone: Backbone) -> str:
    """Return canonical JSON of what decides a fine-tuned model, wherever its files lie."""
    hidden = {
        "architecture",
        "commands",
        "description",
        "original",
        "recipes",
        "resources",
        "shape",
    }
    if backbone.masks == "grid":
        hidden |= {"masks"}  # as before there was another way
    known = json.loads(backbone.canonical(hidden | {"weights"} | ASKING))
    known["weights"] = _weights(backbone)
    if not backbone.image.fill:
        del known["image"]["fill"]  # likewise
    if own := backbone.commands:
        known["commands"] = [own.train, own.version, versions.EXPORT]
    return json.dumps(known, sort_keys=True, separators=(",", ":"))


def of_original(original: Original) -> str:
    """Return what decides the weights made of a checkpoint, wherever its files lie."""
    parts = [(original.weights, original.revision)]
    if original.tower:
        parts.append((original.tower, original.tower_revision))
    known = [_tree(Path(name)) or f"{name}@{revision}" for name, revision in parts]
    return " ".join([f"llava.{versions.CONVERT}", *known])


def of_measuring(backbone: Backbone) -> str:
    """Return the digest of what decides which samples a backbone is not asked."""
    return digest(versions.LENGTHS, of_backbone(backbone))


def with_weights(backbone: Backbone) -> Backbone:
    """Return the backbone with the folder of its weights where a rule makes these.

    Its name is one that other weights would not have. What was trained on them can so be older than
    they are: who removes them may make them anew.
    """
    if not backbone.original:
        return backbone
    found = hashlib.sha256(of_original(backbone.original).encode()).hexdigest()
    return backbone.model_copy(update={"weights": f"{CONVERTED}/{backbone.name}/{found[:8]}"})


def located(backbone: Backbone, made: Sequence[str]) -> Backbone:
    """Return the backbone with its weights in the one folder that was `made` for it, if any was."""
    return backbone.model_copy(update={"weights": made[0]}) if made else backbone


def _weights(backbone: Backbone) -> str:
    if backbone.original:
        return of_original(backbone.original)
    folder = Path(backbone.weights)
    if backbone.commands and folder.is_dir():
        return _digest(files_below(folder))
    return _folder(folder) if folder.is_dir() else f"{backbone.weights}@{backbone.revision}"


def _tree(folder: Path) -> str:
    """Return a digest of a folder of weights and of those in it; "" where there is no folder."""
    if not folder.is_dir():
        return ""
    inner = sorted(path.parent for path in folder.glob("*/**/config.json"))
    return ".".join(_folder(each) for each in (folder, *inner))


def _folder(folder: Path) -> str:
    """Return a digest of a weights folder: of all bytes where they are few, else of samples.

    Weights that were trained on differ nearly everywhere, so that samples tell them from others of
    the same size; the workflow is read too often for all bytes.
    """
    return _digest(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors"))


def files_below(folder: Path) -> list[Path]:
    """Return all files of a folder of weights that no library of ours reads, hidden ones apart."""
    return [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]


def _digest(paths: Iterable[Path]) -> str:
    files = sorted(paths)
    stats = [path.stat() for path in files]
    return _files(tuple((p, s.st_size, s.st_mtime_ns) for p, s in zip(files, stats, strict=True)))


@cache
def _files(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Return a digest of files with their sizes and times, which tell whether one has changed."""
    whole = sum(size for _, size, _ in files) <= SMALL_WEIGHTS
    found = hashlib.sha256()
    for path, size, _ in files:
        found.update(f"{path.name} {size} ".encode())
        found.update(path.read_bytes() if whole or path.suffix == ".json" else _sampled(path, size))
    return found.hexdigest()


def _sampled(path: Path, size: int) -> bytes:
    """Return some blocks of a file, evenly spaced from its first to its last bytes."""
    last = max(0, size - BLOCK)
    blocks = []
    with path.open("rb") as stream:
        for number in range(BLOCKS):
            stream.seek(last * number // (BLOCKS - 1))
            blocks.append(stream.read(BLOCK))
    return b"".join(blocks)
