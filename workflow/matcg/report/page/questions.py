"""Every question of every target, with its picture and what each arm answered, as data."""

import base64
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from matcg import forms, seeds
from matcg.analysis.answers import Answers, ChoiceAnswers, LocatedAnswers
from matcg.analysis.clusters import Folders
from matcg.analysis.pairs import Setting, Study, arm_order
from matcg.config.arm import CG, CONTROL
from matcg.errors import DataError
from matcg.images import decode
from matcg.plan.records import Key, Row
from matcg.report.page.drawn import shapes, shapes_of
from matcg.report.page.embed import as_json
from matcg.report.page.listing import Listing, Texts, list_cells
from matcg.samples import Sample, read_samples

_KINDS = {
    "gain": "CG right, control wrong",
    "loss": "CG wrong, control right",
    "both": "both right",
    "neither": "both wrong",
}
# Where things are to be found: those count as found whose score is above one half.
_FOUND = {
    "gain": "CG finds it, control does not",
    "loss": "control finds it, CG does not",
    "both": "both find it",
    "neither": "neither finds it",
}
# What readers come for: these have pictures before others do.
TELLING = ("gain", "loss")
_THUMBNAIL = 160
PICTURE = 7  # its place in a row
SMALL = 128
UNREAD = -1  # as the prediction files say it


class ByteBudget:
    """Bytes that a page may still spend on something; `left_out` counts what did not fit."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.left_out = 0

    def spend(self, size: int, keep: int = 0) -> bool:
        """Take `size` bytes if `keep` bytes then remain, else count one thing as left out."""
        if size > self.left - keep:
            self.left_out += 1
            return False
        self.left -= size
        return True

    def rest(self, parts: int) -> int:
        """Return the bytes to keep for others if this is one of `parts` that share what is left."""
        return self.left - self.left // parts


class ImageBudget(ByteBudget):
    """Turns pictures into data URIs until its bytes are spent."""

    def uri(self, data: bytes, where: str, keep: int = 0) -> str:
        """Return a thumbnail as a data URI, or nothing once all but `keep` bytes are spent.

        Raises:
            ImageError: as `decode`.
        """
        image = decode(data, where)
        image.thumbnail((_THUMBNAIL, _THUMBNAIL))
        buffer = io.BytesIO()
        # Small synthetic pictures must stay sharp; photographs of any size must stay small.
        image.save(buffer, "webp", lossless=max(image.size) <= SMALL, quality=70)
        return self.take(
            f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}", keep
        )

    def take(self, uri: str, keep: int = 0) -> str:
        """Return a data URI as it is, or nothing once all but `keep` bytes are spent."""
        return uri if self.spend(len(uri), keep) else ""


@dataclass(frozen=True, slots=True)
class QuestionView:
    """An experiment's questions: how many of each kind a target has, and all as JSON.

    `located` says whether some are answered by places.
    `targets` and `kinds` are what they can be filtered by, `left_out` and `without_picture` the
    numbers of questions that are not on the page, or without their picture.
    """

    counts: Listing
    data: Markup
    targets: Sequence[str]
    kinds: Mapping[str, str]
    located: bool
    held: int
    left_out: int
    without_picture: int


@dataclass(frozen=True, slots=True)
class _Group:
    """The runs that are told together: an arm's, or those of one of its rules.

    `said` is each question's most frequent letter, -1 where most could not be read, or the places
    that the first run gave; `right` how many of the runs were right, `score` their mean score.
    """

    name: str
    runs: int
    said: npt.NDArray[Any]
    right: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]

    def reply(self, position: int, sample: Sample) -> list[Any]:
        """Return an answer as report.js reads it, with the score in percent beside places."""
        said, right = self.said[position], int(self.right[position])
        if isinstance(said, str):
            return [shapes_of(said, sample.size), right, round(100 * self.score[position])]
        return [int(said), right]


@dataclass(frozen=True, slots=True)
class _Target:
    """A target's questions by position: ids, right answers, kinds, and what each group answered."""

    name: str
    path: Path
    ids: Sequence[str]
    located: bool
    kinds: Sequence[str]
    groups: Sequence[_Group]

    @property
    def compared(self) -> bool:
        """Return whether there are both CG and a control, and so kinds."""
        return any(self.kinds)


@dataclass
class _Page:
    """What is gathered for the page, and what it may take."""

    images: ImageBudget
    text: ByteBudget
    texts: Texts = field(default_factory=Texts)
    targets: list[dict[str, Any]] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)


def view_questions(
    study: Study,
    setting: Setting,
    folders: Folders,
    images: ImageBudget,
    text: ByteBudget,
    parts: int = 1,
) -> QuestionView:
    """Return the questions of every target, whose samples are in `folders`.

    Pictures and texts take a `parts`-th of what is left of their budgets, each target its share of
    that. Within a target those go first on which CG and control differ, then in an order derived
    from their ids: no choice by look.

    Raises:
        DataError: an answered question is not in the data.
    """
    page = _Page(images, text)
    pictures, left_out = images.left_out, text.left_out
    targets = _targets(study, setting, folders)
    notes = [
        _add(page, target, (parts - 1) * len(targets) + len(targets) - index)
        for index, target in enumerate(targets)
    ]
    names = _FOUND if all(target.located for target in targets) else _KINDS
    content = {
        "kinds": list(_KINDS),
        "names": list(names.values()),
        "targets": page.targets,
        "texts": page.texts.all,
        "rows": page.rows,
    }
    return QuestionView(
        counts=_counts(targets, notes, names),
        data=as_json(content),
        targets=[target["name"] for target in page.targets],
        kinds=names if any(target.compared for target in targets) else {},
        located=any(target.located for target in targets),
        held=len(page.rows),
        left_out=text.left_out - left_out,
        without_picture=images.left_out - pictures,
    )


def _counts(targets: Sequence[_Target], notes: Sequence[str], names: Mapping[str, str]) -> Listing:
    rows = [
        [
            target.name,
            str(len(target.ids)),
            *(str(target.kinds.count(kind)) if target.compared else "" for kind in _KINDS),
            note,
        ]
        for target, note in zip(targets, notes, strict=True)
    ]
    return list_cells(["Target", "Questions", *names.values(), "Note"], rows)


def _targets(study: Study, setting: Setting, folders: Folders) -> list[_Target]:
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for arm in sorted({row.arm for row in study.rows}, key=arm_order):
        for row in study.arm(setting, arm):
            if isinstance(study.answers[row.key], ChoiceAnswers | LocatedAnswers):
                found[row.catalog, row.target].append(row)
    return [
        _target(rows, study.answers, folders[target] / "test.parquet")
        for target, rows in sorted(found.items())
    ]


def _target(rows: Sequence[Row], answers: Mapping[Key, Answers], path: Path) -> _Target:
    first = answers[rows[0].key]
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.arm, row.rule].append(row)
    return _Target(
        name=rows[0].target,
        path=path,
        ids=[str(name) for name in first.sample_id],
        located=isinstance(first, LocatedAnswers),
        kinds=_kinds(rows, answers),
        groups=[
            _group(f"{arm}: {rule}" if rule else arm, [answers[row.key] for row in runs])
            for (arm, rule), runs in groups.items()
        ],
    )


def _kinds(rows: Sequence[Row], answers: Mapping[Key, Answers]) -> list[str]:
    """Return for every question which of CG and control were right in most of their runs."""
    right = {arm: _mostly_right(rows, answers, arm) for arm in (CG, CONTROL)}
    cg, control = right[CG], right[CONTROL]
    if cg is None or control is None:
        return [""] * len(answers[rows[0].key].sample_id)
    names = {(True, False): "gain", (False, True): "loss", (True, True): "both"}
    return [names.get(pair, "neither") for pair in zip(cg.tolist(), control.tolist(), strict=True)]


def _mostly_right(
    rows: Iterable[Row], answers: Mapping[Key, Answers], arm: str
) -> npt.NDArray[np.bool_] | None:
    found = [answers[row.key].score for row in rows if row.arm == arm]
    if not found:
        return None
    majority: npt.NDArray[np.bool_] = np.mean(found, axis=0) > 0.5
    return majority


def _group(name: str, runs: Sequence[Answers]) -> _Group:
    scores = np.stack([run.score for run in runs])
    right = (scores > 0.5).sum(axis=0)
    return _Group(name, len(runs), _said(runs), right, scores.mean(axis=0))


def _said(runs: Sequence[Answers]) -> npt.NDArray[Any]:
    """Return what stands for the runs' answers to each question."""
    if isinstance(runs[0], LocatedAnswers):
        return runs[0].places()
    predicted = np.stack([run.predicted for run in runs if isinstance(run, ChoiceAnswers)])
    # What was not read comes last, so that one answer that was read is shown before it.
    letters = np.array([*range(int(predicted.max()) + 1), UNREAD])
    votes = np.stack([(predicted == letter).sum(axis=0) for letter in letters])
    said: npt.NDArray[Any] = letters[votes.argmax(axis=0)]
    return said


def _add(page: _Page, target: _Target, parts: int) -> str:
    """Add a target's questions to the page; return what is to be said about them."""
    if not target.path.exists():
        return "its test data was not found"
    samples = {sample.sample_id: sample for sample in read_samples(target.path)}
    unknown = [name for name in target.ids if name not in samples]
    if unknown:
        raise DataError(
            f"{target.path}: no question {unknown[0]}, which was answered; predict again"
        )
    number = page.texts.number
    names = [[number(group.name), group.runs] for group in target.groups]
    marks: Sequence[str] = ()
    if not target.located:
        marks = max((forms.of(each).show(each).marks for each in samples.values()), key=len)
    page.targets.append({"name": target.name, "groups": names, "marks": marks})
    rows = _rows(page, target, samples, page.text.rest(parts))
    _add_pictures(page.images, target, samples, rows, page.images.rest(parts))
    kinds = [*_KINDS, ""]
    page.rows += [rows[n] for n in sorted(rows, key=lambda n: (kinds.index(target.kinds[n]), n))]
    return ""


def _rows(
    page: _Page, target: _Target, samples: Mapping[str, Sample], keep: int
) -> dict[int, list[Any]]:
    """Return a target's questions by position, those that are needed most first."""
    rows: dict[int, list[Any]] = {}
    for position in _order(target):
        before = page.texts.size
        row = _row(page, target, samples[target.ids[position]], position)
        if not page.text.spend(len(json.dumps(row)) + page.texts.size - before, keep):
            page.text.left_out += len(target.ids) - len(rows) - 1
            break
        rows[position] = row
    return rows


def _add_pictures(
    images: ImageBudget,
    target: _Target,
    samples: Mapping[str, Sample],
    rows: Mapping[int, list[Any]],
    keep: int,
) -> None:
    """Put pictures into the rows in their order, until the share is spent."""
    for done, (position, row) in enumerate(rows.items()):
        sample = samples[target.ids[position]]
        row[PICTURE] = images.uri(sample.image, f"{sample.subset}: {sample.sample_id}", keep)
        if not row[PICTURE]:
            # The others are not even decoded, which would take longer than all else here.
            images.left_out += len(rows) - done - 1
            return


def _order(target: _Target) -> list[int]:
    """Return the positions of a target's questions, those first that are needed most."""
    return sorted(
        range(len(target.ids)),
        key=lambda place: (
            target.kinds[place] not in TELLING,
            seeds.derive(0, "report", target.ids[place]),
        ),
    )


def _row(page: _Page, target: _Target, sample: Sample, position: int) -> list[Any]:
    """Return a question as report.js reads it."""
    number = page.texts.number
    kind = target.kinds[position]
    form = forms.of(sample)
    shown = form.show(sample)
    return [
        len(page.targets) - 1,
        list(_KINDS).index(kind) if kind else None,
        sample.sample_id,
        number(sample.dataset),
        number(sample.question),
        [number(option) for option in shown.offered],
        shapes(form.truth(sample), sample.size) if target.located else shown.right,
        "",
        [group.reply(position, sample) for group in target.groups],
    ]
