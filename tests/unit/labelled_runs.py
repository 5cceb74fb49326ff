"""Invented answers about labels that are not balanced, and their scores by scikit-learn."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from matcg.analysis.answers import ChoiceAnswers, read_answers
from matcg.analysis.labels import with_labels
from matcg.analysis.pairs import Study
from matcg.forms.choice import ANSWER_SCHEMA
from matcg.plan.records import Row
from matcg.samples import labelled, write_samples

TARGET = ("cat", "t")

COMMON = (0.62, 0.25, 0.13)


def run(seed, n=60, skill=1.0, shares=COMMON, offered=1.0, unread=0.0, truth=None):
    """Return answers to questions about labels of these shares; truth is the same for all seeds."""
    labels, rng = len(shares), np.random.default_rng(seed)
    if truth is None:
        truth = np.random.default_rng(99).choice(labels, size=n, p=shares)
    n = truth.size
    logits = rng.normal(size=(n, labels)).round(1) + skill * (truth[:, None] == np.arange(labels))
    shown = np.random.default_rng(7).random((n, labels)) < offered
    shown[np.arange(n), truth] = True
    weights = np.exp(logits) * shown
    chances = np.where(shown, weights / weights.sum(axis=1, keepdims=True), np.nan)
    said = np.where(rng.random(n) < unread, -1, np.nanargmax(chances, axis=1))
    return of(truth, said, chances)


def of(truth, said, chances):
    n = truth.size
    return ChoiceAnswers(
        sample_id=np.arange(n).astype(str),
        answer=truth,
        score=(said == truth).astype(float),
        measure="accuracy",
        n_options=np.full(n, chances.shape[1]),
        predicted=said,
        strict=np.ones(n, bool),
        mass=np.ones(n),
        confidence=np.ones(n, np.float32),
        labels=tuple("abcdefgh"[: chances.shape[1]]),
        truth=truth,
        said=said,
        chances=chances,
    )


def aurocs(truth, chances):
    """Return scikit-learn's area of each label among the questions that offer it."""
    found = []
    for label in np.unique(truth):
        shown = ~np.isnan(chances[:, label])
        right = truth[shown] == label
        if 0 < right.sum() < right.size:
            found.append(roc_auc_score(right, chances[shown, label]))
    return found


def expected(answers, taken=slice(None)):
    """Return each score by scikit-learn, of some questions, as often as they are taken."""
    truth, said, chances = (getattr(answers, name)[taken] for name in ("truth", "said", "chances"))
    there = np.unique(truth)
    areas = aurocs(truth, chances)
    return [
        (truth == said).mean(),
        # Labels that are said but never right are warned of, and left out by it too.
        balanced_accuracy_score(truth, said),
        f1_score(truth, said, labels=there, average="macro", zero_division=0),
        np.mean(areas) if areas else np.nan,
    ]


def row(target="t"):
    fields = ("x", "cat", target, "r", "a + b", "cg", "tiny", "full", 0, "m", "run", 60)
    return Row(*fields, asked="run")


def study(folder: Path, questions, predicted, probabilities, target="t", backwards=False):
    """Write a target's questions with a run's answers; return the study of it, and its places."""
    write_samples(folder / target / "test.parquet", questions)
    columns = {
        "run": ["run"] * len(questions),
        "sample_id": [each.sample_id for each in questions],
        "n_options": [len(each.options) for each in questions],
        "answer": [each.answer for each in questions],
        "predicted": predicted,
        "strict": [True] * len(questions),
        "mass": [1.0] * len(questions),
        "probabilities": probabilities,
        "correct": [p == each.answer for p, each in zip(predicted, questions, strict=True)],
        "verdicts": [[p] for p in predicted],
    }
    table = pa.table([columns[name] for name in ANSWER_SCHEMA.names], schema=ANSWER_SCHEMA)
    if backwards:
        table = table.take(pa.array(range(len(questions))[::-1]))
    path = folder / "answers" / f"{target}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"place": f"{target}.parquet", "trained": "0" * 64, "record": "x"}
    pq.write_table(table.cast(labelled(table.schema, told)), path)
    places = {row(target).key: path}
    return Study([row(target)], read_answers(places, [row(target)])), places


def labels_of(tmp_path, *given, left_out=None, **more):
    """Return the answers that know labels."""
    found, places = study(tmp_path, *given, **more)
    folders = {TARGET: tmp_path / "t"}
    told = with_labels(found, found.rows, places, folders, {}, {TARGET: left_out or ()})
    return told.answers[row().key]
