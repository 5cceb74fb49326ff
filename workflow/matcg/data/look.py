"""What subsets the tables of a catalog hold whose elements are columns: a look before planning.

Planning reads no data. So a look makes of such a catalog one with a subset for each combination of
values that occurs, with counts. Pictures are not looked for.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from matcg.config.catalog import FOUND, Catalog, Preparation, SubsetSpec
from matcg.config.derived import READER as DERIVED
from matcg.config.explain import validate
from matcg.config.question_options import QuestionOptions
from matcg.config.yaml_file import read_yaml
from matcg.data.image_folder import Folder
from matcg.data.medmat import find_folder
from matcg.data.prepare import sides
from matcg.data.question_table import QuestionTable, Row, read_questions
from matcg.data.questions import by_frequency, groups_of, pool_in, tests_in
from matcg.errors import ConfigError, DataError
from matcg.seeds import derive
from matcg.words import as_id, counted, tidy

READER = "questions"
MOST = 1000  # subsets; a column with more values says something else than an element


@dataclass
class Look:
    """Rows by the values of their elements, and the rows that are in no subset."""

    table: QuestionTable
    subsets: dict[tuple[str, ...], list[Row]] = field(default_factory=dict)
    uncovered: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    left_out: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    without: Counter[str] = field(default_factory=Counter)
    cells: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    rare: int = 0
    one_answer: int = 0


def look(catalog: Catalog, file: Path, root: Path | None) -> dict[str, Any]:
    """Return the keys of a catalog with the subsets that the tables of `catalog` hold.

    `file` is what `catalog` was read from, `root` its data folder.

    Raises:
        ConfigError: its elements are no columns, or its reader reads none.
        DataError: no folder, no tables, or no subset in them.
    """
    if not catalog.columns or catalog.reader != READER:
        raise ConfigError(
            f"{catalog.where}: elements: are to be columns of tables that reader '{READER}' reads,"
            " as in `elements: {modality: modality_type}`; else there is nothing to be found"
        )
    options = QuestionOptions.parse(catalog.options)
    whole = SubsetSpec(id=catalog.name)
    columns = tuple(dict.fromkeys(each.column for each in catalog.columns.values()))
    folder = Folder(find_folder(root, whole))
    table = read_questions(folder, options, whole.id, whole.id, columns, named=True)
    seen = _seen(catalog, columns, table)
    _leave_rare(seen, options)
    if not 0 < len(seen.subsets) <= MOST:
        raise DataError(_no_catalog(catalog, seen))
    keys = read_yaml(file)
    made = {
        **{key: value for key, value in keys.items() if key != "elements"},
        "name": f"{catalog.name}{FOUND}",
        "folder": catalog.folder or catalog.name,
        "elements": list(catalog.elements),
        "found": _found(catalog, seen),
        "subsets": list(_subsets(catalog, options, seen)),
    }
    return _counted(made, catalog, seen, options)


def _seen(catalog: Catalog, columns: tuple[str, ...], table: QuestionTable) -> Look:
    """Return the rows by the values of their elements."""
    found = Look(table)
    places = [(name, columns.index(c.column), c.map) for name, c in catalog.columns.items()]
    for row in table.rows:
        values = [_value(found, name, row.also[at], mapped) for name, at, mapped in places]
        if all(values):
            found.subsets.setdefault(tuple(map(str, values)), []).append(row)
    return found


def _leave_rare(seen: Look, options: QuestionOptions) -> None:
    """Leave out, and count, rare answers, and subsets whose options cannot be made of their one."""
    for values, rows in list(seen.subsets.items()):
        kept, rare = by_frequency(rows, options)
        seen.rare += len(rare)
        if options.rebuild and len({row.label for row in kept}) < 2:
            seen.one_answer += len(kept)
            kept = []
        seen.subsets[values] = kept
        if not kept:
            del seen.subsets[values]


def _value(found: Look, name: str, cell: str, mapped: Mapping[str, str | None]) -> str:
    """Return the value of an element that a cell says, empty and counted where it says none."""
    if not cell:
        found.without[name] += 1
        return ""
    value = mapped.get(cell, "") if mapped else tidy(cell)
    if value:
        found.cells[name, value].add(cell)
        return value
    (found.left_out if value is None else found.uncovered)[name][cell] += 1
    return ""


def _no_catalog(catalog: Catalog, seen: Look) -> str:
    """Return why the tables give no catalog."""
    if seen.subsets:
        values = Counter(name for name, _ in seen.cells)
        name, n = values.most_common(1)[0]
        return (
            f"{catalog.where}: elements.{name}: its column '{catalog.columns[name].column}' has"
            f" {n} values, which make {len(seen.subsets)} subsets of at most {MOST}; name another"
            " column, or give a map of its values"
        )
    kinds = Counter(each.kind for each in seen.table.bad).most_common(3)
    why = [f"{n} x {kind}" for kind, n in kinds]
    why += [f"{seen.rare} x rare answer"] if seen.rare else []
    why += [f"{n} x no {name}" for name, n in seen.without.items()]
    why += [f"{each.total()} x {name} that no map covers" for name, each in seen.uncovered.items()]
    return (
        f"{catalog.where}: no subset in {', '.join(seen.table.files)}"
        f" ({'; '.join(why) or 'no rows'}); mend its options or its elements"
    )


def _found(catalog: Catalog, seen: Look) -> dict[str, Any]:
    """Return the key `found`."""

    def listed(counts: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
        return {name: dict(sorted(each.items())) for name, each in sorted(counts.items())}

    found = {
        "catalog": catalog.name,
        "rows": len(seen.table.rows) + len(seen.table.bad),
        "set_aside": len(seen.table.bad),
        "rare": seen.rare,
        "one_answer": seen.one_answer,
        "uncovered": listed(seen.uncovered),
        "left_out": listed(seen.left_out),
        "without": dict(sorted(seen.without.items())),
    }
    return {key: value for key, value in found.items() if value or key == "rows"}


def _subsets(catalog: Catalog, options: QuestionOptions, seen: Look) -> Iterator[dict[str, Any]]:
    """Yield each combination of values as a file lists it."""
    taken: set[str] = set()
    for values, rows in sorted(seen.subsets.items()):
        named = dict(zip(catalog.elements, values, strict=True))
        name = as_id(values, taken)
        taken.add(name)
        yield {
            "id": name,
            **named,
            **_asks(catalog, named),
            **(
                {"datasets": sorted({row.dataset for row in rows})}
                if _has_datasets(options)
                else {}
            ),
            "rows": len(rows),
            "options": {"only": _only(catalog, options, seen, named)},
        }


def _asks(catalog: Catalog, values: Mapping[str, str]) -> dict[str, str]:
    """Return the element that a subset's questions ask for, where its values say so."""
    found = [catalog.columns[name].asks.get(value) for name, value in values.items()]
    return next(({"asks": element} for element in found if element), {})


def _has_datasets(options: QuestionOptions) -> bool:
    return bool(options.columns.dataset)


def _only(
    catalog: Catalog, options: QuestionOptions, seen: Look, values: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return which cells of which columns make a row one of this subset.

    Of a map all cells that mean the value, whether they occur today or not.
    """
    only = {column: set(cells) for column, cells in options.only.items()}
    for name, value in values.items():
        column, mapped = catalog.columns[name].column, catalog.columns[name].map
        cells = seen.cells[name, value] | {cell for cell, each in mapped.items() if each == value}
        only[column] = only.get(column, cells) & cells
    return {column: sorted(cells) for column, cells in only.items()}


def _counted(
    made: dict[str, Any], catalog: Catalog, seen: Look, options: QuestionOptions
) -> dict[str, Any]:
    """Return a catalog's keys with the samples of each subset where they are fewer than the caps.

    They are those of the split that `prepare` makes, unless pictures cannot be used.
    """
    whole = validate(Catalog, made, f"what was found of {catalog.where}")
    most = {"train": whole.split.train, "test": whole.split.test}
    listed = []
    for subset, (_, rows) in zip(made["subsets"], sorted(seen.subsets.items()), strict=True):
        asked = whole.preparation(subset["id"])
        counts = _samples(asked, rows, len(catalog.name), seen.table.labels, options)
        fewer = {side: n for side, n in counts.items() if n < most[side]}
        listed.append({**subset, **fewer, "options": subset["options"]})
    return {**made, "subsets": listed}


def _samples(
    asked: Preparation, given: list[Row], start: int, labels: list[str], options: QuestionOptions
) -> dict[str, int]:
    """Return how many samples there are to train and to test on.

    `start` is the length of what stands in a row's name for the id of the subset.
    """
    own = {f"{asked.subset.id}{row.name[start:]}": row for row in given}
    rows = list(own.values())
    pool = pool_in(rows, list(own), labels, groups_of(rows, options))
    ranks = pool.ranks(derive(asked.split.seed, "split", asked.subset.id))
    tests, clashing = sides(asked, pool, tests_in(rows, options), ranks)
    counted_by = pool if asked.split.balanced_tests else pool.unlabelled()
    of_label = np.unique(counted_by.labels[tests], return_counts=True)[1]
    fewest = int(of_label.min()) if len(of_label) else 0
    trains = ~tests
    trains[list(clashing)] = False
    trained = np.bincount(pool.labels[trains])
    most = asked.split.per_label or len(pool)
    return {"train": int(np.minimum(trained, most).sum()), "test": fewest * len(of_label)}


def changes(old: Catalog, new: Catalog) -> list[str]:
    """Return what a look found that another one had not, a line each."""
    said = []
    before, after = (
        {each.id: each for each in catalog.subsets if each.reader != DERIVED}
        for catalog in (old, new)
    )
    said += [f"gone: {name}" for name in before if name not in after]
    said += [
        f"new: {name}, {counted(each.rows or 0, 'row')}"
        for name, each in after.items()
        if name not in before
    ]
    for name, each in after.items():
        if name in before:
            said += [f"{name}: {line}" for line in _changed(before[name], each)]
    said += [f"found: {line}" for line in _changed(old.found, new.found)]
    return said + _changed(old, new, {"name", "description", "subsets"})


def _changed(old: Any, new: Any, without: set[str] | None = None) -> list[str]:
    """Return the keys in which two records differ, with both values where they are short."""
    keys = [key for key in type(new).model_fields if key not in (without or set())]
    pairs = {key: (getattr(old, key, None), getattr(new, key)) for key in keys if key != "found"}
    return [
        f"{key}: {_short(now)}, was {_short(then)}"
        for key, (then, now) in pairs.items()
        if then != now
    ]


def _short(value: Any) -> str:
    text = tidy(str(value))
    return text if len(text) <= 200 else f"{text[:200]} ..."
