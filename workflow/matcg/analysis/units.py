"""Targets that count as one: alike in all elements, in different blocks of a catalog.

A guess of what sources do not teach is right or wrong for all of a target's questions. Where a
target has a mirror, in which it is the other way round, the two are taken together.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from matcg.analysis.answers import Answers
from matcg.analysis.clusters import Origins
from matcg.analysis.elements import CatalogElements
from matcg.analysis.pairs import Study
from matcg.errors import DataError
from matcg.plan.records import Key, Row

Units = Mapping[str, str]  # the unit of each target, named after the first of its subsets


def units_of(catalog: CatalogElements | None) -> dict[str, str]:
    """Return the unit of each subset that is in a block of a catalog."""
    found: dict[str, str] = {}
    first: dict[str, str] = {}
    for name, subset in catalog["subsets"].items() if catalog else ():
        if "block" in subset:
            values = {element: sorted(given) for element, given in subset["elements"].items()}
            found[name] = first.setdefault(repr(sorted(values.items())), name)
    return found


def united(study: Study, units: Units) -> Study:
    """Return the study in which the targets of a unit are one, which has the questions of all.

    It has the name of the first, and runs pair up as they are ordered.

    Raises:
        DataError: an arm has not as many runs on each target of a unit.
    """
    members: dict[tuple[str, str], set[str]] = defaultdict(set)
    runs: dict[tuple[Any, ...], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in study.planned:
        unit = (row.catalog, units.get(row.target, row.target))
        members[unit].add(row.target)
        runs[unit, _place(row)][row.target].append(row)
    if all(len(targets) == 1 for targets in members.values()):
        return study
    rows: list[Row] = []
    answers: dict[Key, Answers] = {}
    origins, order = dict(study.origins), {name: place for place, name in enumerate(units)}
    for (unit, _), found in runs.items():
        for together in _side_by_side(
            found, sorted(members[unit], key=lambda name: order.get(name, 0))
        ):
            rows.append(together[0])
            if all(row.key in study.answers for row in together):
                answers[together[0].key] = _joined([study.answers[row.key] for row in together])
            targets = [(row.catalog, row.target) for row in together]
            if len(targets) > 1 and all(target in study.origins for target in targets):
                origins[targets[0]] = _origins([study.origins[target] for target in targets])
    kept = [row for row in rows if row.key in answers]
    return Study(kept, answers, origins, planned=rows if study.partial else None)


def _place(row: Row) -> tuple[Any, ...]:
    """Return what runs that are taken together share, besides their unit."""
    trained = (row.recipe, row.seed, row.n_train, row.mixed_in, row.draw)
    return (row.backbone, row.arm, row.rule, row.label, row.protocol, *trained)


def _side_by_side(found: Mapping[str, Sequence[Row]], targets: Sequence[str]) -> list[list[Row]]:
    """Return the runs of a unit's targets side by side, in the order of their combinations."""
    first = next(iter(found.values()))[0]
    if odd := [name for name in targets if len(found.get(name, ())) != len(found[first.target])]:
        raise DataError(
            f"experiment {first.experiment}: arm '{first.arm}' has {len(found[first.target])} runs"
            f" on {first.target} and {len(found.get(odd[0], ()))} on {odd[0]}, which count as one"
            " target (they are of two blocks); choose targets whose arms are all planned"
        )
    ordered = [sorted(found[name], key=lambda row: row.combination) for name in targets]
    return [list(rows) for rows in zip(*ordered, strict=True)]


def _joined(parts: Sequence[Answers]) -> Answers:
    """Return the answers of several targets as those of one."""
    arrays = {field.name: [getattr(p, field.name) for p in parts] for field in fields(parts[0])}
    whole: dict[str, Any] = {
        name: np.concatenate(each)
        for name, each in arrays.items()
        if all(isinstance(value, np.ndarray) for value in each)
    }
    whole |= {name: None for name, each in arrays.items() if any(value is None for value in each)}
    return replace(parts[0], **whole)


def _origins(parts: Sequence[Origins]) -> Origins:
    """Return the origins of several targets' questions, which share no cluster."""
    datasets = np.concatenate([part.datasets for part in parts])
    if all(part.clusters is None for part in parts):
        return Origins(None, datasets)
    codes, start = [], 0
    for part in parts:
        own = np.arange(part.datasets.size) if part.clusters is None else part.clusters
        codes.append(own + start)
        start += int(own.max()) + 1
    return Origins(np.concatenate(codes), datasets)
