"""Checking data against a model, and saying in one line what is wrong and what would be right."""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError

from matcg.config.base import Model
from matcg.config.catalog import SubsetSpec
from matcg.config.yaml_file import COMMAND_LINE
from matcg.errors import ConfigError, nearest

M = TypeVar("M", bound=Model)
QUOTE = "put it in quotes"
# The shell takes a pair of quotes away, and Snakemake reads a bare number itself.
QUOTE_ON_COMMAND_LINE = "put it in brackets: --config '{key}=[...]'"


def validate(
    model: type[M], data: Mapping[str, Any], file: str, files: Mapping[str, str] | None = None
) -> M:
    """Return `data` as a `model`; errors name `file`, or the one of `files` that gave the key.

    Raises:
        ConfigError: one line with the file, the key's path, what is wrong and a valid key.
    """
    try:
        record = model.model_validate(data)
    except ValidationError as error:
        first = _first(error)
        where = (files or {}).get(str(next(iter(first["loc"]), "")), file)
        said = _explain(model, data, first)
        if where == COMMAND_LINE:
            said = said.replace(QUOTE, QUOTE_ON_COMMAND_LINE.format(key=first["loc"][0]))
        raise ConfigError(f"{where}: {said}") from None
    record._file = file
    return record


def _first(error: ValidationError) -> Any:
    """Return the finding that says the most; one is enough to mend before the next look."""
    found = error.errors(include_url=False)
    # A misspelt key is missing as well, and a union reports once a branch: the first says the most.
    order = ["extra_forbidden", "missing"]
    return min(found, key=lambda e: order.index(e["type"]) if e["type"] in order else len(order))


def _explain(model: type[Model], data: Mapping[str, Any], first: Any) -> str:
    """Return a finding in words."""
    path, last = _key_path(first["loc"]), str(first["loc"][-1]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        kind = _kind_at(model, first["loc"][:-1])
        note = f" {kind.NOTE}" if hasattr(kind, "NOTE") else ""
        return f"{path}: unknown key.{nearest(last, _valid_keys(kind, data))}{note}"
    if first["type"] == "missing":
        return f"{path}: is missing; add `{last}: ...`"
    if first["type"] == "value_error":
        message = str(first["ctx"]["error"])
        return f"{path}: {message}" if path else message
    return f"{path}: {_sentence(first)}{_yaml_hint(first['input'], first['type'])}"


def _sentence(finding: Any) -> str:
    """Return pydantic's message with the value it is about."""
    message = str(finding["msg"]).replace("Input should be", "must be").replace("String", "text")
    message = message.replace("a valid tuple", "a list").replace("a valid dictionary", "a mapping")
    message = message.replace("Tuple", "the list").replace("Dictionary", "the mapping")
    value = finding["input"]
    if finding["type"] == "literal_error" and isinstance(value, str):
        valid = re.findall(r"'([^']+)'", message)
        return f"'{value}' {message}.{nearest(value, valid)}"
    if isinstance(value, str | int | float | bool):
        return f"{value!r} {message}"
    return message


def _yaml_hint(value: object, kind: str) -> str:
    if kind not in ("string_type", "literal_error", "float_type", "int_type", "tuple_type"):
        return ""
    if isinstance(value, bool) and kind not in ("float_type", "int_type"):
        return f"; YAML reads yes, no, on and off as truth values: {QUOTE}"
    if isinstance(value, int | float) and kind not in ("float_type", "int_type"):
        return f"; YAML reads it as a number: {QUOTE}"
    if isinstance(value, str) and kind in ("float_type", "int_type"):
        return "; write a plain number without quotes, such as 0.0001 or 1.0e-4"
    return ""


def _key_path(loc: Iterable[int | str]) -> str:
    """Return `arms.control.rule` or `subsets[3].task`, without the names of union branches."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in ("[key]", "str") and "[" not in part:
            path += f".{part}" if path else part
    return path


def _kind_at(model: Any, loc: Sequence[int | str]) -> Any:
    """Return the type that is meant where `loc` points."""
    for part in loc:
        model = _inside(model, part)
    return model


def _valid_keys(kind: Any, data: Mapping[str, Any]) -> set[str]:
    """Return the keys allowed in a type, a catalog's elements in its subsets included."""
    if kind is SubsetSpec:
        return (set(SubsetSpec.model_fields) - {"elements"}) | set(data.get("elements", ()))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return set(kind.model_fields)
    return set()


def _inside(kind: Any, part: int | str) -> Any:
    """Return the type found below key or index `part` of `kind`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return _bare(field.annotation) if field else None
    arguments = [_bare(argument) for argument in get_args(kind)]
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        tags = [each.tag for a in get_args(kind) for each in get_args(a) if isinstance(each, Tag)]
        return arguments[tags.index(str(part))] if part in tags else None
    if origin is dict and len(arguments) == 2:
        return arguments[1]
    return arguments[0] if origin is tuple and arguments else None


def _bare(kind: Any) -> Any:
    """Strip `Annotated` and `| None` off a type."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        rest = [part for part in get_args(kind) if part is not type(None)]
        return _bare(rest[0]) if len(rest) == 1 else kind
    return kind
