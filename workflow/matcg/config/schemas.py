"""JSON schemas of the YAML files, for editors: `python -m matcg.config.schemas [folder]`."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matcg.config.base import Model
from matcg.config.library import TYPES
from matcg.config.workflow import Config


def schemas() -> Iterator[tuple[str, str]]:
    """Yield the file name and text of each kind's JSON schema."""
    kinds: dict[str, type[Model]] = {"config": Config, **TYPES}
    for kind, model in kinds.items():
        schema = model.model_json_schema()
        _open_subsets(schema)
        yield f"{kind}.schema.json", json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _open_subsets(schema: dict[str, Any]) -> None:
    """Describe subsets as they are written: with the catalog's own elements as flat keys."""
    subset = schema.get("$defs", {}).get("SubsetSpec")
    if subset:
        elements = subset["properties"].pop("elements")
        subset["additionalProperties"] = elements["additionalProperties"]


def main(arguments: Sequence[str]) -> int:
    """Write `*.schema.json` into a folder: `python -m matcg.config.schemas [folder]`."""
    if len(arguments) > 1 or arguments[:1] in (["-h"], ["--help"]):
        print("usage: python -m matcg.config.schemas [folder]", file=sys.stderr)
        return 2
    folder = Path(arguments[0] if arguments else "config/schemas")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
