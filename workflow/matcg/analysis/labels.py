"""What answers to multiple choice say of labels, where a target's labels are not balanced.

Runs answer with options, scores are about labels: an option's probability is that of the label that
it stands for.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matcg.analysis.answers import ChoiceAnswers
from matcg.analysis.clusters import Folders
from matcg.analysis.pairs import Study, Target
from matcg.analysis.units import Units
from matcg.forms.choice import UNPARSED, normal
from matcg.plan.records import Key, Row

_COLUMNS = ["sample_id", "question", "options", "answer", "label"]
# What the options of a question mean: their labels, the right one's at the place of the answer.
_Meant = tuple[str, ...]
_Question = Mapping[str, Any]


def balanced(labels: Iterable[Any]) -> bool:
    """Tell whether all labels that occur do so equally often."""
    return len(set(Counter(labels).values())) < 2


def with_labels(
    study: Study,
    rows: Iterable[Row],
    places: Mapping[Key, Path],
    folders: Folders,
    units: Units,
    left_out: Mapping[Target, Collection[str]],
) -> Study:
    """Return the study in which the answers of `rows` know labels where these are not balanced.

    They are not among all questions that were asked, or among those without the ids that are
    `left_out`. Targets of a unit count together.
    """
    found = dict(study.answers)
    targets: dict[Target, dict[str, set[Key]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        if isinstance(found.get(row.key), ChoiceAnswers):
            unit = units.get(row.target, row.target)
            targets[row.catalog, unit][row.target].add(row.key)
    for (catalog, _), members in targets.items():
        asked = {
            name: _asked(folders[catalog, name] / "test.parquet", found[min(keys)].sample_id)
            for name, keys in members.items()
        }
        every = [(name, each) for name, questions in asked.items() for each in questions]
        clean = [q for name, q in every if q["sample_id"] not in left_out.get((catalog, name), ())]
        if all(balanced(q["label"] for q in some) for some in ([q for _, q in every], clean)):
            continue
        for key, more in _labelled(asked, members, places).items():
            found[key] = replace(found[key], **more)
    return Study(study.rows, found, study.origins, study.planned if study.partial else None)


def _asked(path: Path, names: Any) -> list[_Question]:
    """Return the questions of these ids, in their order."""
    known = {row["sample_id"]: row for row in pq.read_table(path, columns=_COLUMNS).to_pylist()}
    return [known[name] for name in names.tolist()]


def _labelled(
    asked: Mapping[str, Sequence[_Question]],
    members: Mapping[str, Collection[Key]],
    places: Mapping[Key, Path],
) -> dict[Key, dict[str, Any]]:
    """Return what the answers to a unit's targets say of labels, as fields of `ChoiceAnswers`."""
    right = {each["label"] for questions in asked.values() for each in questions}
    meant: dict[str, list[_Meant]] = {}
    unclear = ""
    try:
        meant = {name: _all_meant(questions) for name, questions in asked.items()}
    except _UnclearError as error:
        unclear = str(error)
    labels = sorted(right | {label for each in meant.values() for one in each for label in one})
    code = {label: place for place, label in enumerate(labels)}
    found: dict[Key, dict[str, Any]] = {}
    for name, keys in members.items():
        truth = np.array([code[each["label"]] for each in asked[name]])
        told = {"labels": tuple(labels), "truth": truth, "unclear": unclear}
        for key in keys:
            found[key] = told
            if meant:
                names = [each["sample_id"] for each in asked[name]]
                options = [[code[label] for label in each] for each in meant[name]]
                found[key] = told | _answered(places[key], names, options, len(labels))
    return found


class _UnclearError(Exception):
    """An option of which nothing tells what label it stands for."""


def _all_meant(questions: Sequence[_Question]) -> list[_Meant]:
    """Return what the options of each question mean.

    An option stands for the label that its text is the right answer for, wherever that is one
    label; else for the one that it is right for in the same question. Text that is nowhere right is
    a label of its own.

    Raises:
        _UnclearError: the text is right for several labels in the same question.
    """
    anywhere: dict[str, set[str]] = defaultdict(set)
    here: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in questions:
        text = normal(each["options"][each["answer"]])
        anywhere[text].add(each["label"])
        here[each["question"], text].add(each["label"])

    def meant(each: _Question, place: int) -> str:
        if place == each["answer"]:
            return str(each["label"])
        option, question = each["options"][place], each["question"]
        known = anywhere.get(normal(option), set())
        if len(known) > 1:
            known = here.get((question, normal(option)), set())
            option = f"{question} {option}"
        if len(known) > 1:
            raise _UnclearError(f"'{each['options'][place]}' stands for {len(known)} labels")
        return next(iter(known), option)

    return [tuple(meant(each, at) for at in range(len(each["options"]))) for each in questions]


def _answered(
    path: Path, names: Sequence[str], options: Sequence[Sequence[int]], labels: int
) -> dict[str, Any]:
    """Return which label each answer chose, and the probability of each, read anew from its file.

    `options` are the labels of each question's options.
    """
    table = pq.read_table(path, columns=["sample_id", "predicted", "probabilities"])
    there = table["sample_id"].to_numpy().astype(str)
    order = there.argsort()
    table = table.take(pa.array(order[np.searchsorted(there, names, sorter=order)]))
    sizes = np.array([len(each) for each in options])
    flat, question = np.concatenate(options), np.repeat(np.arange(len(names)), sizes)
    chances = np.full((len(names), labels), np.nan)
    chances[question, flat] = 0.0
    values = table["probabilities"].combine_chunks().flatten().to_numpy()
    # Two options may stand for one label.
    np.add.at(chances, (question, flat), values)
    predicted = table["predicted"].to_numpy().astype(np.int64)
    chosen = flat[np.cumsum(sizes) - sizes + np.maximum(predicted, 0)]
    return {"said": np.where(predicted == UNPARSED, UNPARSED, chosen), "chances": chances}
