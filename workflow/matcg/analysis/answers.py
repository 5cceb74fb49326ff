"""What an experiment's evaluations answered: the plan's rows joined with the kept answers."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from matcg import forms, told
from matcg.errors import DataError
from matcg.plan.records import Key, Row
from matcg.tsv import read_tsv

NO_ORDER = -2  # stands in `verdicts` where a question has fewer orders than others
# An error stays one readable line however much is missing.
_NAMED = 10
_UNREAD = ("run", "text")
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """One run's answers to one target's questions, each array in order of `sample_id`.

    `answer` is what is right, `score` the main score of the form of answer, from 0 to 1, and
    `measure` what its mean is called.
    """

    sample_id: npt.NDArray[np.str_]
    answer: npt.NDArray[Any]
    score: _Floats
    measure: str

    def only(self, chosen: npt.NDArray[np.bool_ | np.int64]) -> Self:
        """Return the answers to the marked questions."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        kept: dict[str, Any] = {
            name: each[chosen] for name, each in arrays.items() if isinstance(each, np.ndarray)
        }
        return replace(self, **kept)

    @property
    def chance(self) -> _Floats | None:
        """Return what blind guessing would get on each question, None where none is known."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceAnswers(Answers):
    """Answers to multiple choice.

    `predicted` is -1 where no answer could be read. `confidence` is the probability of the
    predicted letter among the letters of the options. `verdicts`, shape (questions, orders), is
    the option chosen in each cyclic order of the options, -2 beyond a question's own orders; None
    in files that do not tell.

    Where labels are not balanced `analysis/labels.py` adds `labels`, the target's; the places of
    the right and the chosen one (`truth`, `said`, -1 for none); and `chances`, shape (questions,
    labels), the probability of each label, nan where it is not offered. `unclear` says why that
    cannot be told.
    """

    n_options: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    strict: npt.NDArray[np.bool_]
    mass: _Floats
    confidence: npt.NDArray[np.float32]
    verdicts: npt.NDArray[np.int8] | None = None
    labels: tuple[str, ...] = ()
    truth: npt.NDArray[np.int64] | None = None
    said: npt.NDArray[np.int64] | None = None
    chances: _Floats | None = None
    unclear: str = ""

    @property
    def chance(self) -> _Floats:
        """Return one over the number of options."""
        return 1.0 / self.n_options


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedAnswers(Answers):
    """Answers that point at what is to be found: boxes or masks.

    `inter` and `union` are areas in pixels of the original picture, `findings` and `given` how many
    there are and how many were given, `ill_formed` how much more could not be read, `file` where
    the answers are from. `matches`, shape (questions, 3), counts true positives, false positives
    and false negatives; None where findings are not matched. `ceiling` is the best score that the
    words for a place allow, `prior` that of the run's best place (`analysis/prior.py`).
    """

    inter: _Floats
    union: _Floats
    findings: _Floats
    given: _Floats
    file: Path
    ill_formed: _Floats
    matches: _Floats | None = None
    ceiling: _Floats | None = None
    prior: _Floats | None = None

    def places(self) -> npt.NDArray[Any]:
        """Return each question's given findings as JSON, read anew: few ask for them."""
        table = pq.read_table(self.file, columns=["sample_id", "given"])
        names = table["sample_id"].to_numpy().astype(str)
        order = names.argsort()
        rows = order[np.searchsorted(names, self.sample_id, sorter=order)]
        return _texts(table["given"].take(pa.array(rows)))


def read_leaked(path: Path, rows: Iterable[Row]) -> dict[tuple[str, str], set[str]]:
    """Return the test images of each target (catalog, id) that a run of `rows` was trained on.

    A question that one arm has seen the picture of is unfair to compare in any.
    """
    uses = {(row.catalog, row.target, row.mix) for row in rows}
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in read_tsv(path):
        if (row["catalog"], row["target"], row["mix"]) in uses:
            found[row["catalog"], row["target"]].add(row["sample_id"])
    return dict(found)


def read_answers(places: Mapping[Key, Path], rows: Iterable[Row]) -> dict[Key, Answers]:
    """Return the answers of every planned evaluation, which lie at `places`.

    Raises:
        DataError: an evaluation is missing, its answers are of others, or runs were asked different
            questions.
    """
    found, missing = read_found(places, rows)
    if missing:
        raise DataError(_missing_text(missing, places))
    return found


def read_found(
    places: Mapping[Key, Path], rows: Iterable[Row]
) -> tuple[dict[Key, Answers], list[Key]]:
    """Return the answers that there are, and the planned evaluations that have none.

    Raises:
        DataError: answers are of others than planned, or runs were asked different questions.
    """
    targets: dict[Key, dict[Key, Path]] = defaultdict(dict)
    missing: list[Key] = []
    for key in dict.fromkeys(row.key for row in rows):
        if key in places and places[key].exists():
            targets[(*key[:3], "")][key] = places[key]
        else:
            missing.append(key)
    found: dict[Key, Answers] = {}
    for paths in targets.values():
        found |= _alike({key: _read_file(path) for key, path in paths.items()}, paths)
    return found, missing


def asked_of_all(found: Mapping[Key, Answers]) -> dict[Key, Answers]:
    """Return the answers to the questions that all backbones were asked: one may lack room."""
    alike: dict[tuple[str, str], list[npt.NDArray[np.str_]]] = defaultdict(list)
    for (_, catalog, target, _), answers in found.items():
        alike[catalog, target].append(answers.sample_id)
    chosen = {
        target: reduce(np.intersect1d, names)
        for target, names in alike.items()
        if any(names[0].size != each.size or (names[0] != each).any() for each in names)
    }
    return {
        key: answers.only(np.isin(answers.sample_id, chosen[key[1:3]]))
        if key[1:3] in chosen
        else answers
        for key, answers in found.items()
    }


def _missing_text(missing: Sequence[Key], places: Mapping[Key, Path]) -> str:
    named = [f"{run} on {target} ({backbone})" for backbone, _, target, run in missing[:_NAMED]]
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return (
        f"{len(missing)} planned evaluations have no answers: {', '.join(named)}{more};"
        f" {told.ask_again(places.get(missing[0], Path()))}"
    )


def _read_file(path: Path) -> Answers:
    """Return the answers in a file, in the order of their questions.

    Raises:
        DataError: it holds none, or those of another run or target than its place stands for.
    """
    try:
        names = pq.read_schema(path).names
        # Texts of answers may be long, and nothing here is about them.
        table = pq.read_table(path, columns=[name for name in names if name not in _UNREAD])
        told.check_answers(path, table.schema.metadata)
        found = _answers(path, table, forms.of_answers(names))
    except (pa.ArrowException, KeyError) as error:
        raise DataError(f"{path}: not a file of answers ({error}); predict again") from None
    return found.only(np.argsort(found.sample_id, kind="stable"))


def _answers(path: Path, table: pa.Table, form: forms.Form) -> Answers:
    shared = {
        "sample_id": table["sample_id"].to_numpy().astype(str),
        "score": _floats(table, form.main),
        "measure": form.measure,
    }
    if "predicted" in table.column_names:
        return ChoiceAnswers(**shared, **_choices(path, table))
    if "inter" in table.column_names:
        return LocatedAnswers(**shared, **_places(path, table))
    return Answers(**shared, answer=np.zeros(table.num_rows))


def _choices(path: Path, table: pa.Table) -> dict[str, Any]:
    names = ("n_options", "answer", "predicted")
    columns = {name: table[name].to_numpy().astype(np.int64) for name in names}
    told = "verdicts" in table.column_names
    return columns | {
        "strict": table["strict"].to_numpy().astype(bool),
        "mass": _floats(table, "mass"),
        "confidence": _confidence(path, table["probabilities"], columns),
        "verdicts": _verdicts(table["verdicts"]) if told else None,
    }


def _places(path: Path, table: pa.Table) -> dict[str, Any]:
    has = set(table.column_names)
    counts = ("tp", "fp", "fn")
    matched = has.issuperset(counts)
    return {
        # Findings are compared between runs, and for nothing else.
        "answer": _texts(table["true"]),
        **{name: _floats(table, name) for name in ("inter", "union", "ill_formed")},
        "findings": pc.list_value_length(table["true"]).to_numpy().astype(np.float64),
        "given": pc.list_value_length(table["given"]).to_numpy().astype(np.float64),
        "file": path,
        "matches": np.stack([_floats(table, n) for n in counts], axis=1) if matched else None,
        "ceiling": _floats(table, "ceiling") if "ceiling" in has else None,
    }


def _texts(findings: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return each question's findings as JSON, which takes a tenth of the room of objects."""
    return np.fromiter(map(json.dumps, findings.to_pylist()), object, len(findings))


def _floats(table: pa.Table, name: str) -> _Floats:
    values: _Floats = table[name].to_numpy().astype(np.float64)
    return values


def _confidence(
    path: Path, probabilities: pa.ChunkedArray, columns: Mapping[str, npt.NDArray[Any]]
) -> npt.NDArray[np.float32]:
    """Return the probability of each predicted letter, without the others': they are many.

    Where nothing could be read all are equal, and so is any of them.
    """
    lists = probabilities.combine_chunks()
    ends = lists.offsets.to_numpy()
    if not np.array_equal(np.diff(ends), columns["n_options"]):
        raise DataError(f"{path}: a question has not one probability an option; predict again")
    values = lists.values.to_numpy()[ends[:-1] + np.maximum(columns["predicted"], 0)]
    confidence: npt.NDArray[np.float32] = values.astype(np.float32)
    return confidence


def _verdicts(lists: pa.ChunkedArray) -> npt.NDArray[np.int8]:
    """Return the option chosen in each order, shape (rows, most orders), padded with -2."""
    verdicts = lists.combine_chunks()
    counts = np.diff(verdicts.offsets.to_numpy())
    padded = np.full((counts.size, counts.max(initial=1)), NO_ORDER, np.int8)
    padded[np.arange(padded.shape[1]) < counts[:, None]] = verdicts.flatten().to_numpy()
    return padded


def _alike(runs: Mapping[Key, Answers], paths: Mapping[Key, Path]) -> dict[Key, Answers]:
    """Return one target's answers, whose questions are the same for all and kept once.

    Pairing is by position, so every run must have answered the same questions once.
    """
    first_key, first = next(iter(runs.items()))
    if np.unique(first.sample_id).size != first.sample_id.size:
        raise DataError(f"{paths[first_key]}: answers a question twice; predict again")
    for key, answers in runs.items():
        same = np.array_equal(answers.sample_id, first.sample_id)
        if not same or not np.array_equal(answers.answer, first.answer):
            raise DataError(
                f"{paths[key]}: differs from {paths[first_key]} in questions or in right answers;"
                " remove both and predict again"
            )
    return {
        key: replace(each, sample_id=first.sample_id, answer=first.answer)
        for key, each in runs.items()
    }
