"""Answers, runs and samples that are others than their places say are refused when compared."""

import json
import re
import shutil

import pyarrow.parquet as pq
import pytest

from matcg.errors import DataError
from matcg.plan.records import read_folders, read_places, read_runs
from matcg.samples import read_samples, write_samples
from synthetic import PLAN, TRAINED, World, files_of, make, tabulate

TARGET = "ct-brain-state"
DIGEST, OTHER = "0a1b2c3d", "deadbeef"


@pytest.fixture
def results(tmp_path):
    """Return results whose names end in digests, with the records of their runs."""
    world = World(targets=(TARGET,), rules=("fixed-task",), questions=20, digest=DIGEST)
    make(tmp_path, world)
    for folder in read_runs(tmp_path / PLAN).values():
        record(folder)
    return tmp_path


def record(folder, **changes):
    """Write what a run says of itself."""
    known = {"place": "/".join(folder.parts[-4:]), "run": TRAINED}
    (folder / "provenance.json").write_text(json.dumps({**known, **changes}))


def trained(results, arm="control"):
    """Return the folder of the run of an arm, and the file of its answers."""
    ((name, answers),) = ((n, path) for n, path in files_of(results, TARGET).items() if arm in n)
    return read_runs(results / PLAN)["tiny", name], answers


def refused(results, path, *texts):
    """Compare; the error must name the file, say all texts, and what to do."""
    with pytest.raises(DataError) as error:
        tabulate(results)
    assert str(error.value).startswith(f"{path}: ")
    assert all(text in str(error.value) for text in texts)
    assert re.search("remove (it|the file|the run)[,; ].*call again", str(error.value))


def test_what_its_names_stand_for_is_compared_and_a_removed_run_may_have_answered(results):
    run, _ = trained(results)
    shutil.rmtree(run)
    assert (tabulate(results) / "headline.json").exists()


def test_answers_of_another_run_are_refused(results):
    _, answers = trained(results)
    shutil.copy(trained(results, "floor")[1], answers)
    refused(results, answers, f"these answers are of tiny-{DIGEST}/full-{DIGEST}/floor-")


def test_answers_that_were_copied_to_where_others_are_planned_are_refused(results):
    """As by who wants to keep them after the target's samples have changed."""
    _, answers = trained(results)
    of = answers.relative_to(results / "answers")
    place = answers.with_name(f"{TARGET}-{OTHER}.parquet")
    shutil.copy(answers, place)
    table = results / PLAN / "evaluations.tsv"
    table.write_text(table.read_text().replace(str(answers), str(place)))
    refused(results, place, f"these answers are of {of}; ")


def test_answers_that_do_not_say_whose_they_are_are_refused(results):
    _, answers = trained(results)
    pq.write_table(pq.read_table(answers).replace_schema_metadata(), answers)
    records = f"remove {results}/answers/tiny-{DIGEST}/*.json too and call again"
    refused(results, answers, "these answers are of no place", records)


def test_answers_from_before_a_run_was_trained_anew_are_refused(results):
    run, answers = trained(results)
    record(run, run="1" * 64)
    refused(results, answers, f"these answers are of run {TRAINED}, and {run} holds {'1' * 64}; ")


def test_a_run_that_was_copied_from_another_place_is_refused(results):
    run, _ = trained(results)
    other, _ = trained(results, "floor")
    shutil.copy(other / "provenance.json", run)
    place = "/".join(other.parts[-4:])
    refused(results, run / "provenance.json", f"this run is {place}, and the plan means")


@pytest.mark.parametrize("text", ["", '{"place": '])
def test_a_run_whose_record_cannot_be_read_is_named(results, text):
    path = trained(results)[0] / "provenance.json"
    path.write_text(text)
    refused(results, path, "remove the run, call again")


@pytest.mark.parametrize(("digest", "said"), [(OTHER, OTHER), ("", "of no digest")])
def test_samples_of_another_digest_are_refused(results, digest, said):
    path = read_folders(results / PLAN)["cat", TARGET] / "test.parquet"
    write_samples(path, read_samples(path), digest)
    refused(results, path, f"the digest {said}, and the plan means {DIGEST}; ")


def test_names_without_digests_promise_nothing(tmp_path):
    make(tmp_path, World(targets=(TARGET,), rules=("fixed-task",), questions=20))
    for path in read_places(tmp_path / PLAN).values():
        pq.write_table(pq.read_table(path).replace_schema_metadata(), path)
    for folder in read_runs(tmp_path / PLAN).values():
        record(folder, run="1" * 64, place="elsewhere")
    assert (tabulate(tmp_path) / "headline.json").exists()
