"""Accuracy and AUROC of MedMNIST's files are those of the package's own evaluator.

VALUES were made once by `medmnist.Evaluator(flag, "test", root=FOLDER).evaluate(scores)` of
medmnist 3.0.2 (pypi.org/project/medmnist), on the files and with the scores of this test.
"""

import io

import numpy as np
import pytest

from data_makers import asked, spec
from labelled_runs import labels_of
from matcg.analysis.label_scores import ACCURACY, AUROC, drawn_by_label
from matcg.data.prepare import prepare
from matcg.samples import read_samples
from medmnist_files import npz

# Set, its number of labels, and AUC and ACC of the evaluator.
VALUES = {
    "octmnist": (4, 0.8406289179854753, 0.5463917525773195),
    "retinamnist": (5, 0.8037863860277653, 0.5051546391752577),
    "breastmnist": (2, 0.854978354978355, 0.7835051546391752),
    "chestmnist": (14, 0.7293982943335848, 0.6340206185567008),
}


def scores(truth, labels):
    """Return a score of each label, shape (n, labels), higher where it is right."""
    n = len(truth)
    at, of = np.arange(n)[:, None], np.arange(labels)
    noise = (37 * at + 101 * of + 13 * at * of) % 997 / 997
    if truth.shape[1] > 1:
        return 0.8 * noise + 0.2 * truth
    found = noise + 0.35 * (truth == of) + 0.1
    return found / found.sum(axis=1, keepdims=True)


def file_of(labels, several):
    """Return a file whose test has 97 pictures, with labels that are not balanced."""
    at = np.arange(97)
    if several:
        numbers = (at[:, None] % (3 + np.arange(labels)) == 0).astype(np.uint8)
    else:
        numbers = (np.minimum(at % 7, labels - 1) * (at % 3 > 0))[:, None].astype(np.uint8)
    images = np.random.default_rng(1).integers(0, 256, (97, 28, 28)).astype(np.uint8)
    return npz(
        labels=labels, several=several, n=(40, 3, 97), test_images=images, test_labels=numbers
    )


@pytest.mark.parametrize("flag", VALUES)
def test_scores_are_those_of_the_package(tmp_path, flag):
    labels, auc, accuracy = VALUES[flag]
    several = labels if flag == "chestmnist" else 0
    data = file_of(labels, several)
    (tmp_path / f"{flag}.npz").write_bytes(data)
    names = [f"name {at}" for at in range(labels)]
    how = (
        {"question": "Is there {finding}?"}
        if several
        else {"rebuild": {"options": labels, "instructions": ["Which?"]}}
    )
    options = {"names": names, **how}
    asked_for = asked(spec(flag), "medmnist", options=options, test=10_000, balanced_tests=False)
    prepare(asked_for, tmp_path, tmp_path / "out")
    questions = read_samples(tmp_path / "out/test.parquet")
    truth = np.load(io.BytesIO(data))["test_labels"]
    assert len(questions) == truth.shape[0] * (several or 1)
    given = scores(truth, labels)
    chances = [_chances(each, given, names) for each in questions]
    found = labels_of(tmp_path, questions, [int(np.argmax(each)) for each in chances], chances)
    drawn = drawn_by_label([(1.0, found)], draws=10)
    assert drawn[AUROC].value == pytest.approx(auc, abs=1e-6)
    assert drawn[ACCURACY].value == pytest.approx(accuracy, abs=1e-6)


def _chances(sample, given, names):
    """Return the probability of each of a sample's options."""
    _, _, at, *finding = sample.sample_id.split("-")
    if not finding:
        return [given[int(at), names.index(option)] for option in sample.options]
    yes = given[int(at), names.index(finding[0])]
    return [yes if option == "yes" else 1 - yes for option in sample.options]
