"""From the names of catalogs, rules, backbones, protocols and experiments to their files."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matcg.config.backbone import Backbone
from matcg.config.base import Model
from matcg.config.catalog import Catalog
from matcg.config.experiment import Experiment
from matcg.config.explain import validate
from matcg.config.protocol import Protocol
from matcg.config.rule import Rule
from matcg.config.yaml_file import read_yaml, shown_path
from matcg.errors import ConfigError, nearest

# One file a thing, in one folder a kind, below the repository.
FOLDERS = {
    "experiment": "experiments",
    "catalog": "catalogs",
    "rule": "combinations",
    "backbone": "backbones",
    "protocol": "protocols",
}
TYPES: dict[str, type[Model]] = {
    "experiment": Experiment,
    "catalog": Catalog,
    "rule": Rule,
    "backbone": Backbone,
    "protocol": Protocol,
}


class Library:
    """Finds the files that names stand for, and reads each once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: dict[Path, Model] = {}

    def names(self, kind: str) -> list[str]:
        """Return the names that can be used for a kind, from the repository's folder."""
        folder = self.root / FOLDERS[kind]
        found = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.yaml"))
        return sorted(path.as_posix() for path in found)

    def expand(self, references: Iterable[str]) -> list[str]:
        """Return experiments by name, with a folder of `experiments/` as all that it holds."""
        names = self.names("experiment")
        found: list[str] = []
        for reference in references:
            inside = [name for name in names if name.startswith(f"{reference}/")]
            found += inside if reference not in names and inside else [reference]
        return found

    def find(self, kind: str, reference: str, file: Path, key: str) -> Path:
        """Return the file that `reference`, written under `key` of `file`, stands for.

        Raises:
            ConfigError: there is none.
        """
        if reference.endswith((".yaml", ".yml")):
            path = (file.parent / reference).resolve()
            if not path.is_file():
                raise ConfigError(f"{shown_path(file)}: {key}: no file {shown_path(path)}")
            return path
        if reference not in (names := self.names(kind)):
            raise ConfigError(
                f"{shown_path(file)}: {key}: no {kind} '{reference}' in {FOLDERS[kind]}/."
                f"{nearest(reference, names)}"
            )
        return (self.root / FOLDERS[kind] / f"{reference}.yaml").resolve()

    def load(self, kind: str, reference: str, file: Path, key: str) -> Any:
        """Return the record a reference stands for, of the type in `TYPES`."""
        path = self.find(kind, reference, file, key)
        if path not in self._read:
            record = self._read[path] = load(kind, path)
            if kind == "backbone" and record.name != path.stem:  # a copy that kept the other's name
                raise ConfigError(
                    f"{shown_path(path)}: name: '{record.name}' is not the name of this file; write"
                    f" `name: {path.stem}`, or rename the file"
                )
        return self._read[path]


def load(kind: str, path: Path) -> Any:
    """Return one file as the record of its kind; a backbone's weights are looked for."""
    record = validate(TYPES[kind], read_yaml(path), shown_path(path))
    if isinstance(record, Backbone):
        return _located(record, path)
    if isinstance(record, Catalog) and record.sources:
        sources = str((path.parent / record.sources).resolve())
        return record.model_copy(update={"sources": sources})
    if isinstance(record, Rule) and record.python:
        script, function = record.python.rsplit(":", 1)
        absolute = (path.parent / script).resolve()
        return record.model_copy(update={"python": f"{absolute}:{function}"})
    return record


def _located(backbone: Backbone, path: Path) -> Backbone:
    """Return the backbone with the absolute folders of its weights, or hub names with revisions.

    Raises:
        ConfigError: neither a folder nor a hub name; a hub name without revision.
    """
    original = backbone.original
    if not original:
        folder = _source(path, "", "weights", backbone.weights, backbone.revision)
        return backbone.model_copy(update={"weights": folder})
    places = {"weights": _source(path, "original.", "weights", original.weights, original.revision)}
    if original.tower:
        places["tower"] = _source(
            path, "original.tower_", "tower", original.tower, original.tower_revision
        )
    return backbone.model_copy(update={"original": original.model_copy(update=places)})


def _source(path: Path, block: str, key: str, name: str, revision: str | None) -> str:
    """Return the absolute folder that `name` is, or the name on the hub.

    `block` is what stands before `revision` in the keys of the file.
    """
    folder = (path.parent / Path(name).expanduser()).resolve()
    if folder.is_dir():
        return str(folder)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name):
        at = f"{block.split('.')[0]}.{key}" if block else key
        raise ConfigError(
            f"{shown_path(path)}: {at}: no folder {shown_path(folder)}, and '{name}' is not a"
            " hub name (org/model); give one of the two"
        )
    if not revision:
        raise ConfigError(
            f"{shown_path(path)}: {block}revision: is missing; a hub name needs the commit it"
            " stands for"
        )
    return name
