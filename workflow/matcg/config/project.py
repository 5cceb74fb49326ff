"""All that a config names, read and checked together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from matcg.config.backbone import Backbone
from matcg.config.catalog import FOUND, Catalog
from matcg.config.design import arms_of
from matcg.config.experiment import Experiment
from matcg.config.explain import validate
from matcg.config.library import FOLDERS, Library
from matcg.config.protocol import DEFAULT_PROTOCOL, Protocol
from matcg.config.published import Printed, read_published
from matcg.config.rule import Rule
from matcg.config.workflow import Config, Limit
from matcg.config.yaml_file import COMMAND_LINE, parse_yaml, read_yaml, shown_path
from matcg.errors import ConfigError, nearest

SMOKE = ".smoke"  # ends the names of smoke runs
# Keys of a config that hold keys of their own.
BLOCKS = [
    name
    for name, field in Config.model_fields.items()
    if any(
        hasattr(kind, "model_fields") for kind in (field.annotation, *get_args(field.annotation))
    )
]


@dataclass(frozen=True)
class Project:
    """All that a config names, read and checked; what `make_plan` enumerates from."""

    config: Config
    experiments: tuple[Experiment, ...]
    catalogs: Mapping[str, Catalog]
    rules: Mapping[str, Rule]
    backbones: Mapping[str, Backbone]
    roots: Mapping[str, Path | None]
    published: Mapping[str, tuple[Printed, ...]] = field(default_factory=dict)
    protocols: Mapping[str, Protocol] = field(
        default_factory=lambda: {DEFAULT_PROTOCOL: Protocol(name=DEFAULT_PROTOCOL)}
    )


def load_project(
    config: Mapping[str, Any], root: Path, origins: Mapping[str, Path] | None = None
) -> Project:
    """Read everything a config names.

    Args:
        config: the merged config.
        root: the repository, which holds `catalogs/` and its siblings.
        origins: the file that gave each top-level key of `config`, for relative paths and errors;
            `config.yaml` in `root` where not said.

    Raises:
        ConfigError: one line, see `validate` and `Library`.
    """
    default = root / "config.yaml"
    origins = origins or {}
    said = [key for key, file in origins.items() if file.name == COMMAND_LINE and key in BLOCKS]
    config = {key: _typed(key, value) if key in said else value for key, value in config.items()}
    files = {key: shown_path(file) for key, file in origins.items()}
    checked = validate(Config, config, shown_path(origins.get("experiments", default)), files)
    library = Library(root)
    file = origins.get("experiments", default)
    parts: dict[str, dict[str, Any]] = {kind: {} for kind in FOLDERS}
    published: dict[str, tuple[Printed, ...]] = {}
    experiments, renamed = [], []
    limit = checked.limit
    for i, name in enumerate(library.expand(checked.experiments)):
        path = library.find("experiment", name, file, f"experiments[{i}]")
        experiments.append(library.load("experiment", name, file, f"experiments[{i}]"))
        found = _resolve(experiments[i], path, library, parts)
        renamed.append(_smoke(found, limit) if limit else found)
        if renamed[i].published:
            published[renamed[i].name] = _published(renamed[i], path, parts["catalog"])
    _distinct(experiments)
    if limit and limit.questions:
        parts["protocol"] = {
            name: each.model_copy(update={"questions": limit.questions})
            for name, each in parts["protocol"].items()
        }
    return Project(
        config=checked,
        experiments=tuple(sorted(renamed, key=lambda experiment: experiment.name)),
        catalogs=parts["catalog"],
        rules=parts["rule"],
        backbones=parts["backbone"],
        roots=_roots(checked, origins.get("data", default), parts["catalog"], library),
        published=published,
        protocols=parts["protocol"],
    )


def _smoke(experiment: Experiment, limit: Limit) -> Experiment:
    """Return an experiment under the name, question and title of a smoke run of it."""
    marked = experiment.model_copy(
        update={
            "name": f"{experiment.name}{SMOKE}",
            "question": f"{experiment.question} ({limit.mark})".lstrip(),
        }
    )
    if not experiment.layout or not experiment.layout.title:
        return marked
    title = f"{experiment.layout.title} ({limit.mark})"
    return marked.model_copy(
        update={"layout": experiment.layout.model_copy(update={"title": title})}
    )


def _typed(key: str, value: Any) -> Any:
    """Return a block given by --config with its numbers, of which Snakemake makes text."""
    if isinstance(value, dict):
        return {name: _typed(f"{key}.{name}", each) for name, each in value.items()}
    found = parse_yaml(value, f"{COMMAND_LINE} {key}") if isinstance(value, str) else value
    return found if isinstance(found, int | float | None) else value


def _published(
    experiment: Experiment, path: Path, catalogs: Mapping[str, Catalog]
) -> tuple[Printed, ...]:
    """Return the figures printed for an experiment, checked against its arms and catalog."""
    file = (path.parent / str(experiment.published)).resolve()
    targets = [subset.id for subset in catalogs[experiment.catalog].subsets]
    return read_published(file, shown_path(file), experiment.arms, targets)


def _distinct(experiments: Sequence[Experiment]) -> None:
    names = [experiment.name for experiment in experiments]
    for experiment in experiments:
        if names.count(experiment.name) > 1:
            raise ConfigError(
                f"{experiment.where}: name: experiment '{experiment.name}' is listed twice;"
                " rename or remove one"
            )


def _resolve(
    experiment: Experiment, path: Path, library: Library, parts: dict[str, dict[str, Any]]
) -> Experiment:
    """Return the experiment with plain names, and put what they stand for into `parts`."""

    def take(kind: str, reference: str, key: str) -> str:
        record = library.load(kind, reference, path, key)
        known = parts[kind].setdefault(record.name, record)
        if known is not record:
            raise ConfigError(
                f"{record.where}: name: '{record.name}' is also the name of {known.where};"
                " rename one"
            )
        return str(record.name)

    def take_each(kind: str, key: str) -> tuple[str, ...]:
        found = [take(kind, n, f"{key}[{i}]") for i, n in enumerate(getattr(experiment, key))]
        for position, name in enumerate(found):
            if name in found[:position]:
                raise ConfigError(
                    f"{experiment.where}: {key}[{position}]: '{name}' stands twice; remove one"
                )
        return tuple(found)

    catalog, arms = take("catalog", experiment.catalog, "catalog"), {}
    if parts["catalog"][catalog].columns:
        raise ConfigError(
            f"{experiment.where}: catalog: '{catalog}' names the columns of its elements, so its"
            " subsets are yet to be found: run `snakemake catalog --cores 1 --config"
            f" catalog={catalog}`, and name here the catalog that it writes, {catalog}{FOUND}"
        )
    for name, arm in arms_of(experiment, parts["catalog"][catalog]).items():
        named = {kind: n for kind in ("rule", "protocol") if (n := getattr(arm, kind, None))}
        plain = {kind: take(kind, n, f"arms.{name}.{kind}") for kind, n in named.items()}
        arms[name] = arm.model_copy(update=plain)
    return experiment.model_copy(
        update={
            "catalog": catalog,
            "rules": take_each("rule", "rules"),
            "backbones": take_each("backbone", "backbones"),
            "protocol": take("protocol", experiment.protocol, "protocol"),
            "also": take_each("protocol", "also"),
            "arms": arms,
        }
    )


def _roots(
    config: Config, file: Path, catalogs: Mapping[str, Catalog], library: Library
) -> dict[str, Path | None]:
    """Return each planned catalog's data folder, None where there is none."""
    valid = {*catalogs, *library.names("catalog")}
    for name in config.data:
        if name not in valid:
            raise ConfigError(
                f"{shown_path(file)}: data.{name}: no such catalog.{nearest(name, valid)}"
            )
    roots: dict[str, Path | None] = {}
    for name, catalog in catalogs.items():
        folder = data_folder(config, file, library.root, catalog)
        roots[name] = folder if folder.is_dir() else None
        key = name if config.data.get(name) else catalog.folder or name
        if config.data.get(key) and not folder.is_dir():
            raise ConfigError(
                f"{shown_path(file)}: data.{key}: no folder {config.data[key]}; mend the path, or"
                " make the folder"
            )
    return roots


def data_folder(config: Config, file: Path, root: Path, catalog: Catalog) -> Path:
    """Return the folder of a catalog's images: the config's, by default `data/NAME` in `root`.

    `file` is what says `data:`, since paths are relative to the file that says them.
    """
    shared = catalog.folder or catalog.name
    folder = config.data.get(catalog.name) or config.data.get(shared)
    if folder:
        return (file.parent / Path(folder).expanduser()).resolve()
    return root / "data" / shared


def find_origins(
    files: Iterable[Path | str], overrides: Iterable[Path | str], given: Iterable[str]
) -> dict[str, Path]:
    """Return which file gave each top-level key of a merged config.

    Args:
        files: all config files.
        overrides: those among them that were laid on top, in order (`--configfile`).
        given: keys from the command line (`--config`); their paths start at the working folder.
    """
    last = [Path(path).resolve() for path in overrides]
    first = [path for path in (Path(file).resolve() for file in files) if path not in last]
    origins = {key: path for path in [*first, *last] for key in read_yaml(path)}
    return origins | {key: Path.cwd() / COMMAND_LINE for key in given}
