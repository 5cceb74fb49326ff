"""A few questions of every target, with their picture and what each arm answered."""

import base64
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from matcg import seeds
from matcg.errors import DataError
from matcg.images import decode
from matcg.report.answers import Answers, Key, PlanRow
from matcg.report.study import CG, CONTROL, Setting, Study, arm_order
from matcg.samples import LETTERS, Sample, read_samples

__all__ = ["KINDS", "Card", "ImageBudget", "TargetQuestions", "choose_questions"]

KINDS = {
    "gain": "CG right, control wrong",
    "loss": "CG wrong, control right",
    "both": "both right",
    "neither": "both wrong",
}
PER_KIND = 2
THUMBNAIL = 192
SMALL = 128


@dataclass(frozen=True, slots=True)
class Reply:
    """What one arm answered; `share` tells how many of its runs were right where there are more."""

    arm: str
    letter: str
    option: str
    right: bool
    share: str


@dataclass(frozen=True, slots=True)
class Card:
    """One question as the report shows it; `image` is a data URI, empty where left out."""

    sample: Sample
    kind: str
    image: str
    options: tuple[tuple[str, str, bool], ...]
    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class TargetQuestions:
    """A target's chosen questions, and how many of all its questions are of each kind."""

    target: str
    counts: Mapping[str, int]
    cards: tuple[Card, ...]
    note: str = ""


class ImageBudget:
    """Turns pictures into data URIs until `limit` bytes are spent."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.left_out = 0

    def uri(self, data: bytes, where: str) -> str:
        """Return a thumbnail as a data URI, or nothing once the budget is spent."""
        image = decode(data, where)
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        # Small synthetic pictures must stay sharp; photographs of any size must stay small.
        kind, options = ("png", {}) if max(image.size) <= SMALL else ("jpeg", {"quality": 82})
        encoded = base64.b64encode(_encoded(image, kind, options)).decode()
        return self.take(f"data:image/{kind};base64,{encoded}")

    def take(self, uri: str) -> str:
        """Return a data URI as it is, or nothing once the budget is spent."""
        if len(uri) > self.left:
            self.left_out += 1
            return ""
        self.left -= len(uri)
        return uri


def _encoded(image: Image.Image, kind: str, options: Mapping[str, int]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def choose_questions(
    study: Study, setting: Setting, data: Path, budget: ImageBudget
) -> list[TargetQuestions]:
    """Return some questions of every target; `data` is results/data.

    Per kind (CG right and control wrong, ...) the first few in an order derived from their ids:
    no choice by look, but rare kinds are over-represented, which the counts make plain.
    """
    groups: dict[tuple[str, str], list[PlanRow]] = defaultdict(list)
    for arm in sorted({row.arm for row in study.rows}, key=arm_order):
        for row in study.arm(setting, arm):
            groups[row.catalog, row.target].append(row)
    return [
        _target_questions(rows, study.answers, data / catalog / target / "test.parquet", budget)
        for (catalog, target), rows in sorted(groups.items())
    ]


def _target_questions(
    rows: Sequence[PlanRow], answers: Mapping[Key, Answers], path: Path, budget: ImageBudget
) -> TargetQuestions:
    target = rows[0].target
    ids = [str(name) for name in answers[rows[0].key].sample_id]
    kinds = _kinds(rows, answers)
    counts = {kind: kinds.count(kind) for kind in KINDS} if any(kinds) else {}
    if not path.exists():
        return TargetQuestions(target, counts, (), f"{path.name} of this target was not found")
    samples = {sample.sample_id: sample for sample in read_samples(path)}
    unknown = [name for name in ids if name not in samples]
    if unknown:
        raise DataError(f"{path}: no question {unknown[0]}, which was answered; predict again")
    cards = [
        _card(rows, answers, position, samples[ids[position]], kinds[position], budget)
        for position in _chosen(ids, kinds)
    ]
    return TargetQuestions(target, counts, tuple(cards))


def _kinds(rows: Sequence[PlanRow], answers: Mapping[Key, Answers]) -> list[str]:
    """Return for every question which of CG and control were right in most of their runs."""
    right = {arm: _mostly_right(rows, answers, arm) for arm in (CG, CONTROL)}
    cg, control = right[CG], right[CONTROL]
    if cg is None or control is None:
        return [""] * len(answers[rows[0].key].sample_id)
    names = {(True, False): "gain", (False, True): "loss", (True, True): "both"}
    return [names.get(pair, "neither") for pair in zip(cg.tolist(), control.tolist(), strict=True)]


def _mostly_right(
    rows: Iterable[PlanRow], answers: Mapping[Key, Answers], arm: str
) -> npt.NDArray[np.bool_] | None:
    found = [answers[row.key].correct for row in rows if row.arm == arm]
    if not found:
        return None
    majority: npt.NDArray[np.bool_] = np.mean(found, axis=0) > 0.5
    return majority


def _chosen(ids: Sequence[str], kinds: Sequence[str]) -> list[int]:
    order = sorted(range(len(ids)), key=lambda position: seeds.derive(0, "report", ids[position]))
    if not any(kinds):
        return order[: PER_KIND * len(KINDS)]
    return [
        position
        for kind in KINDS
        for position in [place for place in order if kinds[place] == kind][:PER_KIND]
    ]


def _card(
    rows: Sequence[PlanRow],
    answers: Mapping[Key, Answers],
    position: int,
    sample: Sample,
    kind: str,
    budget: ImageBudget,
) -> Card:
    groups: dict[tuple[str, str], list[PlanRow]] = defaultdict(list)
    for row in rows:
        groups[row.arm, row.rule].append(row)
    replies = [
        _reply(f"{arm}: {rule}" if rule else arm, group, answers, position, sample)
        for (arm, rule), group in groups.items()
    ]
    options = [
        (LETTERS[index], option, index == sample.answer)
        for index, option in enumerate(sample.options)
    ]
    image = budget.uri(sample.image, f"{sample.subset}: {sample.sample_id}")
    return Card(sample, kind, image, tuple(options), tuple(replies))


def _reply(
    name: str,
    rows: Sequence[PlanRow],
    answers: Mapping[Key, Answers],
    position: int,
    sample: Sample,
) -> Reply:
    """Return the first run's answer, and how many of all runs were right."""
    predicted = [int(answers[row.key].predicted[position]) for row in rows]
    right = predicted.count(sample.answer)
    share = f"{right} of {len(rows)} runs right" if len(rows) > 1 else ""
    first = predicted[0]
    return Reply(name, LETTERS[first], sample.options[first], first == sample.answer, share)
