"""Reading YAML files safely, with the file and the line in each error."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from matcg.errors import ConfigError

COMMAND_LINE = "--config"  # in place of a file
NO_PAIRS = "holds no `key: value` pairs"


class PlainLoader(yaml.SafeLoader):
    """Safe YAML whose numbers are what they look like, and whose dates are text."""


def _number(loader: PlainLoader, node: yaml.ScalarNode) -> int | float:
    """Return a number in plain decimal.

    YAML 1.1 reads `010` as 8, `1_2` as 12, `1:30` as 90 and `0x1F` as 31, of which whoever wrote
    them may have meant none, nor a number at all.

    Raises:
        MarkedYAMLError: it is written otherwise.
    """
    make = {"int": loader.construct_yaml_int, "float": loader.construct_yaml_float}
    kind = node.tag.rpartition(":")[2]
    if _DECIMAL[kind].fullmatch(node.value):
        found: int | float = make[kind](node)
        return found
    try:
        read = f" reads it as {make[kind](node)}"
    except ValueError:
        read = " takes it for a number"
    raise yaml.MarkedYAMLError(
        problem=f"{node.value} is no plain decimal number, and YAML{read}; where a name is meant"
        f' write "{node.value}" in quotes, else the number in decimal digits',
        problem_mark=node.start_mark,
    )


def _text(loader: PlainLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_DECIMAL = {
    "int": re.compile(r"0|-?[1-9][0-9]*"),
    "float": re.compile(
        r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
}
for _kind in _DECIMAL:
    PlainLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _number)
PlainLoader.add_constructor("tag:yaml.org,2002:timestamp", _text)


class _Loader(PlainLoader):
    """Safe YAML that refuses duplicated keys and joins list keys: `[modality, area]: other`."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    pairs: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, list):
            key = "+".join(str(part) for part in key)
        if not isinstance(key, str):
            shown = key_node.value if isinstance(key_node, yaml.ScalarNode) else str(key)
            raise yaml.MarkedYAMLError(
                problem=f"key {shown} must be text; put it in quotes",
                problem_mark=key_node.start_mark,
            )
        if key in pairs:
            raise yaml.MarkedYAMLError(
                problem=f"key '{key}' stands twice; remove one", problem_mark=key_node.start_mark
            )
        pairs[key] = loader.construct_object(value_node, deep=True)
    return pairs


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        ConfigError: missing, not YAML, a key twice, a number that is not what it looks like, or not
            a mapping.
    """
    data = parse_yaml(_text_of(path), shown_path(path), _Loader)
    if not isinstance(data, dict):
        raise ConfigError(f"{shown_path(path)}: {NO_PAIRS}")
    return data


def parse_yaml(text: str, where: str, loader: type[PlainLoader] = PlainLoader) -> Any:
    """Return what a YAML text says; `where` names its file, or its flag, in errors.

    Raises:
        ConfigError: not YAML, or a number that is not what it looks like.
    """
    with _explained(where):
        return yaml.load(text, loader)


def require_readable(path: Path, flag: str = "") -> Path:
    """Return a config file's path, or end this process with one line where it is not to be read.

    For what runs before Snakemake reads it, which says nothing of the file or much too much. What
    Snakemake can read passes here: the file may be another workflow's.
    """
    try:
        text = _text_of(path)
        with _explained(shown_path(path)):
            # Snakemake takes JSON too, in which there may be tabs.
            pairs = _is_object(text) or isinstance(yaml.compose(text), yaml.MappingNode)
        if not pairs:
            raise ConfigError(f"{shown_path(path)}: {NO_PAIRS}")
    except ConfigError as error:
        raise SystemExit(f"matcg: {flag}{error}") from None
    return path


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a YAML text file"
        raise ConfigError(f"{shown_path(path)}: cannot be read ({reason})") from None


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turn what is wrong with a YAML text into a ConfigError with its line."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        problem = error.problem or error.context or ""
        tab = "'\\t'" in problem
        advice = " (a tab, which YAML does not indent with); put blanks in its place" * tab
        raise ConfigError(f"{where}{line}: {problem}{advice}") from None
    except yaml.YAMLError:
        raise ConfigError(f"{where}: cannot be read (not a YAML text file)") from None


def shown_path(path: Path) -> str:
    """Return a path as a user would type it: relative to the working folder where it is below."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)
