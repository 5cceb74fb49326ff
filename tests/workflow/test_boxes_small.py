"""Boxes, masks and letters side by side, from the phantom world to the report, in a smoke run."""

import csv
import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from repository import fresh_copy
from workspace import Workspace, real

pytestmark = pytest.mark.slow("one whole run: six fine-tunings and what they answer")

TARGETS = {"ct-brain-detection": "mean IoU", "us-knee-segmentation": "mean Dice"}
ARMS = {"cg", "control", "baseline", "floor", "CG minus control"}
QUESTIONS = 12


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the experiment has run."""
    folder = fresh_copy(tmp_path_factory.mktemp("boxes"))
    Workspace(folder).without_vllm()  # says boxes as transformers does (test_engines.py)
    done = real(folder, "--configfile", "tests/configs/boxes.yaml")
    assert done.returncode == 0, done.stdout
    return folder


def table(ran: Path, name: str) -> list[dict[str, str]]:
    path = ran / f"results/experiments/boxes.smoke/tables/{name}.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def mixes(ran: Path) -> list[dict[str, list[object]]]:
    return [pq.read_table(path).to_pydict() for path in (ran / "results/mixes").glob("*.parquet")]


def test_each_target_has_its_score_in_every_arm(ran: Path) -> None:
    rows = table(ran, "localisation")
    assert {(row["target"], row["score"]) for row in rows} == set(TARGETS.items())
    for target in TARGETS:
        mine = {row["arm"]: row for row in rows if row["target"] == target}
        assert set(mine) == ARMS
        assert {row["pictures"] for row in mine.values()} == {str(QUESTIONS)}
        assert 0 < int(mine["cg"]["with_finding"]) < QUESTIONS
        # CG is trained on places; the untouched backbone on nothing.
        assert 0 < float(mine["cg"]["prior"]) < 1
        assert mine["baseline"]["prior"] == ""


def test_forms_are_mixed_and_each_sample_has_an_answer_of_its_own(ran: Path) -> None:
    forms = Counter()
    for mix in mixes(ran):
        held = [name for name in ("answer", "boxes", "masks") if name in mix]
        forms[tuple(held)] += 1
        answers = zip(*(mix[name] for name in held), strict=True)
        assert all(sum(each is not None for each in row) == 1 for row in answers)
    # CG and its floor have letters besides; controls have one form each.
    expected = {("answer", "boxes"): 2, ("answer", "masks"): 2, ("answer",): 1, ("boxes",): 1}
    assert forms == expected


def test_the_floor_has_the_same_pictures_and_other_places(ran: Path) -> None:
    located = [mix for mix in mixes(ran) if "boxes" in mix and "answer" in mix]
    first, second = (dict(zip(mix["sample_id"], mix["boxes"], strict=True)) for mix in located)
    assert set(first) == set(second)
    assert first != second
    dealt = [
        sorted(json.dumps(v) for v in mix.values() if v is not None) for mix in (first, second)
    ]
    assert dealt[0] == dealt[1]  # pictures of the phantom world are of one size


def test_free_text_and_other_pictures_are_asked_too_and_no_letter_is_counted(ran: Path) -> None:
    asked = {(row["protocol"], row["score"]) for row in table(ran, "protocols")}
    ways = {"letters", "generate", "shuffled-image"}
    assert asked == {(way, score) for way in ways for score in TARGETS.values()}
    assert table(ran, "letters") == []


def test_the_page_shows_what_was_to_be_found_and_says_that_it_is_a_smoke_run(ran: Path) -> None:
    page = (ran / "results/report.html").read_text(encoding="utf-8")
    assert "mean IoU" in page
    assert "smoke" in page
    found = [text.split("</script>")[0] for text in page.split('type="application/json">')[1:]]
    (questions,) = (data for text in found if "kinds" in (data := json.loads(text)))
    assert {target["name"] for target in questions["targets"]} == set(TARGETS)
    truths = [row[6] for row in questions["rows"]]
    assert {bool(mask) for truth in truths for _, mask, _ in truth} == {False, True}
    assert [] in truths
