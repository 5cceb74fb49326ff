"""A catalog that a look at tables makes, as a file to read and to keep."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from matcg.config.catalog import FOUND, Catalog
from matcg.config.derived import READER as DERIVED
from matcg.config.library import load
from matcg.data.look import changes, look
from matcg.words import counted

_HEAD = """\
# Written by `snakemake catalog --config catalog={name}`: a subset for each combination of values
# in its tables. Yours to edit: another look says what is otherwise, and leaves this file as it is.
"""


def write_found(catalog: Catalog, file: Path, root: Path | None, apart: Path) -> list[str]:
    """Look at the tables of a catalog, write the catalog of what they hold, and say what it is.

    It is written beside `file`, which `catalog` was read from. Where there is one already and
    it says otherwise, it is left, and the new one goes to the folder `apart`.

    Raises:
        ConfigError, DataError: as `look`, or the file that is there is no catalog.
    """
    made = look(catalog, file, root)
    kept = file.with_name(f"{file.stem}{FOUND}.yaml")
    place = apart / kept.name if kept.exists() else kept
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(as_text(made, catalog.name), encoding="utf-8")
    new = load("catalog", place)
    said = _said(new)
    if place == kept:
        return [*said, f"Written to {kept}: name `catalog: {new.name}` in an experiment."]
    otherwise = changes(load("catalog", kept), new)
    if not otherwise:
        place.unlink()
        return [*said, f"All as in {kept}."]
    return [
        *said,
        f"{counted(len(otherwise), 'change')} since {kept}, which is left as it is:",
        *otherwise,
        f"The catalog of this look is {place}; copy it there to take it.",
    ]


def as_text(made: Mapping[str, Any], name: str) -> str:
    """Return a catalog's keys as YAML, a line a subset."""
    rest = {key: value for key, value in made.items() if key != "subsets"}
    lines = [_HEAD.format(name=name), _dumped(rest, False), "subsets:\n"]
    return "".join([*lines, *(f"  - {_dumped(each, True)}" for each in made["subsets"])])


def _dumped(value: Any, flow: bool) -> str:
    text: str = yaml.safe_dump(
        value,
        default_flow_style=flow or None,  # None: only the innermost on one line
        sort_keys=False,
        allow_unicode=True,
        width=10**9,
    )
    return text


def _said(new: Catalog) -> list[str]:
    """Return what was found, a line each."""
    assert new.found is not None
    found = new.found
    listed = [each for each in new.subsets if each.reader != DERIVED]
    rows = sum(each.rows or 0 for each in listed)
    lines = [
        f"{counted(len(listed), 'subset')} of {rows} of {counted(found.rows, 'row')};"
        f" {found.set_aside} set aside as unusable. Pictures were not looked for."
    ]
    if found.rare:
        lines.append(f"{counted(found.rare, 'row')} left out: rare answers, by option `frequent`")
    if found.one_answer:
        lines.append(
            f"{counted(found.one_answer, 'row')} left out: the only answer of their subset"
        )
    for what, counts in (("no map covers", found.uncovered), ("a map leaves out", found.left_out)):
        for element, cells in counts.items():
            told = ", ".join(f"'{cell}' ({counted(n, 'row')})" for cell, n in cells.items())
            lines.append(f"{element}: {what} {told}")
    return lines + [f"{name}: {counted(n, 'row')} without" for name, n in found.without.items()]
