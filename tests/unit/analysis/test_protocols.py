"""How questions were asked: tables against counts made by hand, and what is missing."""

import json
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pyarrow.compute as pc
import pytest
from pydantic import ValidationError

from matcg.analysis.answers import NO_ORDER, ChoiceAnswers
from matcg.analysis.blank_images import looking, sentences
from matcg.analysis.pairs import Study
from matcg.analysis.protocols import asked_ways, by_protocols, further_rows, protocol_words
from matcg.config.protocol import Protocol
from matcg.errors import DataError
from matcg.plan.records import Row, tags
from matcg.report.figures.protocols import protocol_figure
from matcg.report.figures.style import STYLE
from matcg.report.tables.declared import LOOKING, MISSING, ORDERS, PROTOCOLS, SUMMARY
from matcg.report.tables.table import read_rows
from synthetic import World, make, only, rows, table_of, tabulate, truth_of, write_page

LETTERS = Protocol(name="letters")
GENERATE = Protocol(name="generate", scoring="generate")
CYCLIC = Protocol(name="cyclic", permutations=4)
BLANK = Protocol(name="blank-image", image="blank")
SHOTS = Protocol(name="two-shot", shots=2, draws=3)
ALL = (LETTERS, GENERATE, CYCLIC, BLANK, SHOTS)
RIGHT = {"baseline": 0.25, "cg": 0.75, "control": 0.5}
LOW = {"baseline": 0.25, "cg": 0.3, "control": 0.25}
TARGETS = ("ct-brain-state", "mri-lung-side")
WORLD = World(
    targets=TARGETS,
    rules=("fixed-task",),
    questions=40,
    accuracy=RIGHT,
    protocols=ALL,
    accuracies={"blank-image": LOW},
)


def run(results, protocols=ALL, **options):
    return tabulate(results, protocols=protocols, **options)


def answers_of(results, target, arm, tag):
    """Return the answers of an arm's runs by one protocol, in order of run and question."""
    table = table_of(results, target)
    of_arm = pc.match_substring(table["run"], arm)
    table = table.filter(pc.and_(of_arm, pc.ends_with(table["run"], pattern=tag)))
    assert len(table)
    return table.sort_by([("run", "ascending"), ("sample_id", "ascending")])


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    results = tmp_path_factory.mktemp("protocols")
    make(results, WORLD)
    return results, run(results)


def test_the_main_protocol_has_the_numbers_of_the_summary(demo):
    _, out = demo
    summary, asked = rows(out, SUMMARY), rows(out, PROTOCOLS)
    for arm in WORLD.accuracy:
        theirs = only(summary, arm=arm, rule="")
        ours = only(asked, protocol="letters", arm=arm)
        for name in ("accuracy", "accuracy_low", "accuracy_high", "chance"):
            assert ours[name] == theirs[name]
    gap = only(asked, protocol="letters", arm="CG minus control")
    theirs = only(summary, arm="cg", rule="")
    for end in ("", "_low", "_high"):
        assert gap[f"accuracy{end}"] == theirs[f"minus_reference{end}"]
    assert gap["chance"] is None


def test_each_protocol_has_its_own_accuracy_and_what_could_not_be_read(demo):
    results, out = demo
    tables = [answers_of(results, target, "control", "@generate") for target in TARGETS]
    right = [np.mean(table["correct"].to_numpy(zero_copy_only=False)) for table in tables]
    unread = [np.mean(table["predicted"].to_numpy() == -1) for table in tables]
    row = only(rows(out, PROTOCOLS), protocol="generate", arm="control")
    assert row["accuracy"] == pytest.approx(np.mean(right), abs=1e-6)
    assert row["unread"] == pytest.approx(np.mean(unread), abs=1e-6)
    assert 0 < row["unread"] < 0.5
    assert only(rows(out, PROTOCOLS), protocol="letters", arm="control")["unread"] is None
    gap = only(rows(out, PROTOCOLS), protocol="generate", arm="CG minus control")
    cg = only(rows(out, PROTOCOLS), protocol="generate", arm="cg")
    assert gap["accuracy"] == pytest.approx(cg["accuracy"] - row["accuracy"], abs=2e-6)


def test_draws_of_examples_are_averaged(demo):
    results, out = demo
    means = [
        np.mean(answers_of(results, target, "control", f"@two-shot.{draw}")["correct"].to_pylist())
        for target in TARGETS
        for draw in range(3)
    ]
    row = only(rows(out, PROTOCOLS), protocol="two-shot", arm="control")
    assert row["accuracy"] == pytest.approx(np.mean(means), abs=1e-6)
    assert len(set(means)) > 1
    assert row["questions"] == 2 * WORLD.questions


def test_orders_change_answers_as_often_as_counted_by_hand(demo):
    results, out = demo
    changes, accuracies = [], []
    for target in TARGETS:
        lists = np.array(answers_of(results, target, "control", "@cyclic")["verdicts"].to_pylist())
        changes.append(np.mean([len(set(orders)) > 1 for orders in lists]))
        accuracies.append((lists == truth_of(WORLD, target)[:, None]).mean(axis=0))
    by_order = np.mean(accuracies, axis=0)
    row = only(rows(out, PROTOCOLS), protocol="cyclic", arm="control")
    assert row["changes"] == pytest.approx(np.mean(changes), abs=1e-6)
    assert row["worst_order"] == pytest.approx(by_order.min(), abs=1e-6)
    assert row["best_order"] == pytest.approx(by_order.max(), abs=1e-6)
    assert row["worst_order"] < row["best_order"]
    assert only(rows(out, PROTOCOLS), protocol="letters", arm="control")["changes"] is None
    assert {each["protocol"] for each in rows(out, ORDERS)} == {"cyclic"}


def test_what_is_left_without_the_picture_is_paired_and_said(demo):
    results, out = demo
    row = only(rows(out, LOOKING), arm="control")
    apart = [
        np.mean(answers_of(results, target, "control", "seed0")["correct"].to_pylist())
        - np.mean(answers_of(results, target, "control", "@blank-image")["correct"].to_pylist())
        for target in TARGETS
    ]
    assert row["minus_blank"] == pytest.approx(np.mean(apart), abs=1e-6)
    assert row["minus_blank_low"] < row["minus_blank"] < row["minus_blank_high"]
    assert row["shuffled"] is None
    gap = only(rows(out, LOOKING), arm="CG minus control")
    assert gap["minus_blank"] == pytest.approx(gap["shown"] - gap["blank"], abs=2e-6)
    assert gap["chance"] is None, "chance is no part of a difference"
    cg = only(rows(out, LOOKING), arm="cg")
    (said,) = json.loads((out / "headline.json").read_text())["asked"]
    for number in (cg["shown"], cg["blank"], cg["chance"], gap["shown"], gap["blank"]):
        assert f"{100 * number:.1f}" in said
    assert said.startswith(f"Of CG's {100 * cg['shown']:.1f} %, ")


def test_by_default_missing_protocols_are_an_error_and_else_they_are_listed(tmp_path):
    protocols = (LETTERS, BLANK, GENERATE)
    make(tmp_path, replace(WORLD, targets=TARGETS[:1], protocols=protocols, questions=10))
    for answers in (tmp_path / "answers").rglob("*@generate.parquet"):
        answers.unlink()
    with pytest.raises(DataError, match=r"planned evaluations have no answers: .*@generate"):
        run(tmp_path, protocols)
    out = run(tmp_path, protocols, show_missing=True)
    listed = rows(out, MISSING)
    assert listed
    assert all(row["run"].endswith("@generate") for row in listed)
    assert json.loads((out / "headline.json").read_text())["missing"] == len(listed)
    missing = [row for row in rows(out, PROTOCOLS) if row["protocol"] == "generate"]
    assert {row["arm"] for row in missing} == set(WORLD.accuracy)
    assert {(row["accuracy"], row["note"]) for row in missing} == {(None, "no answers yet")}
    assert only(rows(out, PROTOCOLS), protocol="letters", arm="cg")["accuracy"] is not None


def test_without_further_protocols_there_is_nothing_to_say(tmp_path):
    make(tmp_path, replace(WORLD, targets=TARGETS[:1], protocols=(LETTERS,), questions=10))
    alone = run(tmp_path, (LETTERS,))
    assert not {"protocols.csv", "looking.csv", "orders.csv"} & {
        path.name for path in (alone / "tables").iterdir()
    }
    assert "asked" not in json.loads((alone / "headline.json").read_text())
    assert "How the questions were asked" not in write_page(tmp_path).read_text()


def test_the_page_has_a_section_of_it(demo):
    results, out = demo
    page = write_page(results).read_text()
    (said,) = json.loads((out / "headline.json").read_text())["asked"]
    assert said.replace("'", "&#39;") in page
    start, end = page.index("How the questions were asked"), page.index(">Figures</h3>")
    section = page[start:end]
    for table in (PROTOCOLS, LOOKING, ORDERS):
        assert f"experiments/demo/tables/{table.stem}.csv" in section
    for text in ("free text", "letter, 2 examples a label, mean of 3 draws"):
        assert f">{text}</td>" in section


def test_the_figure_shows_protocols_with_answers_and_needs_two(demo):
    _, out = demo
    found = read_rows(out / "tables", PROTOCOLS)
    gone = {"accuracy": None, "chance": None}
    less = [replace(row, **gone) if row.protocol == "generate" else row for row in found]
    with mpl.rc_context(STYLE):
        figure = protocol_figure(less)
        assert protocol_figure([row for row in found if row.protocol == "letters"]) is None
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["letters", "cyclic", "blank-image", "two-shot"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["cg", "control", "baseline", "chance"]


# --- By hand -----------------------------------------------------------------------------------


def planned(arm, run="full/m/seed0", asked="", draw=0):
    trained = run != "baseline"
    return Row(
        *("x", "cat", "t", "rule" if arm == "cg" else "", "", arm, "tiny"),
        *("full", 0, "m", run, 600 if trained else 0),
        draw=draw,
        asked=asked or run,
    )


def given(said, right, options=2, verdicts=None):
    n = len(said)
    return ChoiceAnswers(
        sample_id=np.array([f"q{i}" for i in range(n)]),
        n_options=np.broadcast_to(options, n),
        answer=np.array(right),
        predicted=np.array(said),
        score=(np.array(said) == right).astype(np.float64),
        measure="accuracy",
        strict=np.ones(n, bool),
        mass=np.ones(n),
        confidence=np.full(n, 0.5, np.float32),
        verdicts=None if verdicts is None else np.array(verdicts, np.int8),
    )


def evaluations(main, protocols):
    """Return the keys of a plan in which all runs are asked by all protocols."""
    return {(*row.key[:3], row.run + tag) for row in main for p in protocols for tag in tags(p)}


def ways(main, protocols, answers):
    """Return the study of each protocol from plan rows of the main one and answers by name."""
    every = [*main, *further_rows(main, evaluations(main, protocols), protocols)]
    found = {(*each.key[:3], name): said for each in main for name, said in answers.items()}
    return asked_ways(Study(every, found), every, protocols)


def test_further_rows_are_the_same_runs_by_the_names_of_the_plan():
    main = [planned("cg", draw=1), planned("baseline", "baseline")]
    both = (LETTERS, SHOTS)
    rows_of = further_rows(main, evaluations(main, both), both)
    assert [row.asked for row in rows_of] == [
        *(f"full/m/seed0@two-shot.{draw}" for draw in range(3)),
        *(f"baseline@two-shot.{draw}" for draw in range(3)),
    ]
    assert [row.draw for row in rows_of] == [3, 4, 5, 0, 1, 2]
    # From three draws of examples to a protocol without: each run is asked once.
    shown = [planned("cg", asked=f"full/m/seed0@two-shot.{draw}", draw=draw) for draw in range(3)]
    again = further_rows(shown, evaluations(shown, both), (SHOTS, LETTERS))
    assert [row.asked for row in again] == ["full/m/seed0"]
    # What the plan does not ask is in no table.
    assert not further_rows(main, [(*main[0].key[:3], "full/m/seed0")], both)


def test_an_arm_with_a_protocol_of_its_own_is_asked_by_no_other():
    own = planned("cg-blank", asked="full/m/seed0@blank-image")
    found = ways(
        [planned("cg"), own],
        (LETTERS, BLANK),
        {"full/m/seed0": given([0, 1], [0, 1]), "full/m/seed0@blank-image": given([0, 0], [0, 1])},
    )
    assert [(way.name, [row.arm for row in way.planned]) for way in found] == [
        ("letters", ["cg"]),
        ("blank-image", ["cg"]),
    ]


def test_answers_are_the_same_as_in_the_main_protocol_where_they_are_read_and_equal():
    found = ways(
        [planned("control")],
        (LETTERS, GENERATE),
        {
            "full/m/seed0": given([0, 1, 1, 0], [0, 0, 0, 0]),
            "full/m/seed0@generate": given([0, 1, 0, -1], [0, 0, 0, 0]),
        },
    )
    main, other = by_protocols(found)
    assert (main.as_main, other.as_main, other.unread) == (None, 0.5, 0.25)
    assert (main.accuracy.value, other.accuracy.value) == (0.5, 0.5)


def test_questions_with_fewer_options_begin_again_with_their_first_order():
    none = NO_ORDER
    said = given([0, 3], [0, 3], [2, 4], [[0, 1, none, none], [3, 3, 3, 0]])
    main = [planned("control", asked="full/m/seed0@cyclic")]
    (row,) = by_protocols(ways(main, [CYCLIC], {"full/m/seed0@cyclic": said}))
    # Orders: both right; the second; both again; neither.
    assert (row.worst_order, row.best_order, row.changes) == (0.0, 1.0, 1.0)


def test_files_that_do_not_tell_of_orders_leave_that_empty():
    main = [planned("control", asked="full/m/seed0@cyclic")]
    answers = {"full/m/seed0@cyclic": given([0, 1], [0, 0])}
    (row,) = by_protocols(ways(main, [CYCLIC], answers))
    assert (row.changes, row.worst_order, row.accuracy.value) == (None, None, 0.5)


def test_only_what_differs_by_the_picture_alone_is_compared_with_it():
    texts = Protocol(name="blank-text", image="blank", scoring="option-text")
    answers = {
        "full/m/seed0": given([0, 0, 0, 1], [0, 0, 0, 0]),
        "full/m/seed0@blank-text": given([1, 1, 1, 1], [0, 0, 0, 0]),
        "full/m/seed0@blank-image": given([0, 0, 1, 1], [0, 0, 0, 0]),
    }
    assert looking(ways([planned("control")], (LETTERS, texts), answers)) == []
    (row,) = looking(ways([planned("control")], (LETTERS, texts, BLANK), answers))
    assert (row.shown.value, row.blank.value, row.minus_blank.value) == (0.75, 0.5, 0.25)
    assert sentences([row]) == [
        "Of control's 75.0 %, 50.0 % remain with a grey picture; chance is 50.0 %."
    ]
    assert (
        looking(
            ways([planned("control", asked="full/m/seed0@blank-image")], (BLANK, LETTERS), answers)
        )
        == []
    )


def test_a_protocol_is_told_in_words():
    assert protocol_words(LETTERS) == "letter"
    assert protocol_words(CYCLIC) == "letter, mean of up to 4 orders"
    assert protocol_words(Protocol(name="x", image="shuffled", shots=1)) == (
        "letter, another question's picture, 1 example a label"
    )
    assert protocol_words(Protocol(name="x", shots=2, per="prompt")) == "letter, 2 examples"


def test_a_protocol_s_name_is_told_apart_from_the_number_of_a_draw():
    assert planned("cg", asked="full/m.600/seed0@two-shot.1").protocol == "two-shot"
    assert planned("cg", asked="full/m.600/seed0").protocol == "letters"
    with pytest.raises(ValidationError, match="name"):
        Protocol(name="two-shot.1")
