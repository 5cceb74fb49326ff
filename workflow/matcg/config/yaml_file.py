"""Reading YAML files safely, with the file and the line in each error."""

from pathlib import Path
from typing import Any

import yaml

from matcg.errors import ConfigError


class _Loader(yaml.SafeLoader):
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
        ConfigError: missing, not YAML, a key twice, or not a mapping.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            data = yaml.load(stream, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{shown_path(path)}{line}: {error.problem or error.context}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or "not a YAML text file"
        raise ConfigError(f"{shown_path(path)}: cannot be read ({reason})") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{shown_path(path)}: holds no `key: value` pairs")
    return data


def shown_path(path: Path) -> str:
    """Return a path as a user would type it: relative to the working folder where it is below."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)
