"""Letter bias and calibration against values worked out by hand."""

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matcg.analysis.answers import NO_ORDER, ChoiceAnswers, read_answers
from matcg.analysis.letters import calibration, letter_use, letters_in_orders
from matcg.analysis.pairs import Study
from matcg.cells import cells_of, fields_of
from matcg.errors import DataError
from matcg.forms.choice import ANSWER_SCHEMA
from matcg.plan.records import Row
from matcg.report.figures.letters import calibration_figure, letters_figure
from matcg.report.figures.style import STYLE


def row(arm="cg", target="t", run="full/m/seed0"):
    trained = run != "baseline"
    return Row(
        *("demo", "cat", target, "rule" if arm == "cg" else "", "", arm, "tiny"),
        *("full", 0, "m", run, 600 if trained else 0),
        asked=run,
    )


def answers(right, answered, options, confidence=None, verdicts=None):
    """Return answers to questions from letters; `options` is how many each of them has.

    "?" is an answer that could not be read.
    """
    n = len(right)
    true, said = (np.array(["ABCD".find(letter) for letter in each]) for each in (right, answered))
    return ChoiceAnswers(
        sample_id=np.array([f"q{i}" for i in range(n)]),
        n_options=np.broadcast_to(options, n),
        answer=true,
        predicted=said,
        score=(said == true).astype(np.float64),
        measure="accuracy",
        strict=np.ones(n, bool),
        mass=np.ones(n),
        confidence=np.array(confidence or [0.5] * n, np.float32),
        verdicts=None if verdicts is None else np.array(verdicts, np.int8),
    )


def study(*parts):
    return Study([one for one, _ in parts], {one.key: found for one, found in parts})


def column(rows, *names):
    """Return cells of some records, as the tables have them."""
    fields = {each.name: each for each in fields_of(type(rows[0]), {})}
    return [tuple(cells_of(row, [fields[name] for name in names]).values()) for row in rows]


def test_letters_are_counted_as_right_and_as_answered_and_recalled():
    # A: 3 of 4 right ones are answered so; B: 1 of 2.
    rows = letter_use(study((row(), answers("AAAABB", "AAABAB", 2))))
    assert column(rows, "letter", "options", "answers") == [("A", 2, 6), ("B", 2, 6)]
    assert column(rows, "right") == [(4 / 6,), (2 / 6,)]
    assert column(rows, "answered") == [(4 / 6,), (2 / 6,)]
    assert column(rows, "recall") == [(0.75,), (0.5,)]
    assert [row.use.rstd for row in rows] == pytest.approx([0.125, 0.125])


def test_questions_of_two_and_of_four_options_stand_apart():
    mixed = answers("ABABCD", "AAAAAA", [2, 2, 4, 4, 4, 4])
    rows = letter_use(study((row(), mixed)))
    assert column(rows, "options", "letter", "recall") == [
        *((2, "A", 1.0), (2, "B", 0.0)),
        *((4, "A", 1.0), (4, "B", 0.0), (4, "C", 0.0), (4, "D", 0.0)),
    ]
    assert rows[0].use.rstd == pytest.approx(0.5)
    assert rows[2].use.rstd == pytest.approx(np.sqrt(3) / 4)


def test_a_letter_that_is_never_right_has_no_recall_and_no_part_in_rstd():
    rows = letter_use(study((row(), answers("AAB", "ACB", 3))))
    assert column(rows, "letter", "recall") == [("A", 0.5), ("B", 1.0), ("C", None)]
    assert rows[0].use.rstd == pytest.approx(0.25)
    assert rows[2].use.answered == pytest.approx(1 / 3)


def test_runs_and_targets_of_an_arm_are_pooled_and_arms_are_not():
    rows = letter_use(
        study(
            (row(run="full/a/seed0"), answers("AB", "AA", 2)),
            (row(run="full/b/seed0", target="u"), answers("AB", "AB", 2)),
            (row("baseline", run="baseline"), answers("AB", "BB", 2)),
        )
    )
    assert column(rows, "arm", "recipe", "letter", "answers", "recall") == [
        *(("baseline", "", "A", 2, 0.0), ("baseline", "", "B", 2, 1.0)),
        *(("cg", "full", "A", 4, 1.0), ("cg", "full", "B", 4, 0.5)),
    ]


def test_calibration_is_counted_by_bins_of_confidence():
    # Two answers at 0.9, one of them right, and two at 0.6, both right.
    found = answers("AABB", "ABBB", 2, [0.9, 0.9, 0.6, 0.6])
    rows = calibration(study((row(), found)))
    assert column(rows, "low", "high", "answers") == [(0.5, 0.6, 2), (0.8, 0.9, 2)]
    assert [row.confidence for row in rows] == pytest.approx([0.6, 0.9])
    assert column(rows, "accuracy") == [(1.0,), (0.5,)]
    # (2 x |1 - 0.6| + 2 x |0.5 - 0.9|) / 4
    assert [row.ece for row in rows] == pytest.approx([0.4, 0.4])


def test_full_confidence_and_bounds_of_bins_fall_where_they_belong():
    found = answers("AAAA", "AAAA", 4, [1.0, 0.3, 0.7, 0.7000001])
    rows = calibration(study((row(), found)))
    assert column(rows, "low", "answers") == [(0.2, 1), (0.6, 2), (0.9, 1)]


def test_an_arm_that_is_as_sure_as_it_is_right_has_no_error():
    found = answers("AAAAA", "AAAAB", 2, [0.8] * 5)
    (cells,) = calibration(study((row(), found)))
    assert cells.ece == pytest.approx(0, abs=1e-6)


def test_what_could_not_be_read_is_no_letter_and_wrong():
    rows = letter_use(study((row(), answers("AABB", "A??B", 2))))
    assert column(rows, "letter", "answered", "recall") == [("A", 0.25, 0.5), ("B", 0.25, 0.5)]
    (cells,) = calibration(study((row(), answers("AABB", "A??B", 2))))
    assert cells.accuracy == 0.5


def test_letters_of_all_orders_are_where_the_options_stood():
    # The first is always called B, wherever its options stand; the second is right in every order.
    found = answers("AB", "AB", 2, verdicts=[[1, 0], [1, 1]])
    rows = letters_in_orders(study((row(), found)), "cyclic")
    assert column(rows, "protocol", "letter", "answers") == [("cyclic", "A", 4), ("cyclic", "B", 4)]
    assert column(rows, "right") == [(0.5,), (0.5,)]
    # Right answers stand at A in (first, order 0) and (second, order 1), which says A.
    assert column(rows, "answered", "recall") == [(0.25, 0.5), (0.75, 1.0)]


def test_orders_that_a_question_does_not_have_are_not_counted():
    none = NO_ORDER
    found = answers("AA", "AA", [2, 3], verdicts=[[0, 0, none], [0, 0, -1]])
    rows = letters_in_orders(study((row(), found)), "cyclic")
    assert column(rows, "options", "letter", "answers", "recall") == [
        *((2, "A", 2, 1.0), (2, "B", 2, 1.0)),
        *((3, "A", 3, 1.0), (3, "B", 3, 0.0), (3, "C", 3, 1.0)),
    ]
    assert letters_in_orders(study((row(), answers("A", "A", 2))), "cyclic") == []


def read_one(path, probabilities, predicted, verdicts=None):
    """Write the answers of the one run there is; return them as they are read."""
    n = len(predicted)
    columns = {
        "run": ["full/m/seed0"] * n,
        "sample_id": [f"q{n - i}" for i in range(n)],
        "n_options": [2, 4, 2][:n],
        "answer": [0] * n,
        "predicted": predicted,
        "strict": [True] * n,
        "mass": [1.0] * n,
        "probabilities": probabilities,
        "correct": [False] * n,
        "verdicts": verdicts or [[0]] * n,
    }
    table = pa.table(columns, schema=ANSWER_SCHEMA)
    pq.write_table(table if verdicts else table.drop_columns("verdicts"), path)
    return read_answers({row().key: path}, [row()])[row().key]


def test_confidence_is_that_of_the_predicted_letter_in_the_order_of_questions(tmp_path):
    lists = [[0.4, 0.6], [0.1, 0.2, 0.3, 0.4], [0.9, 0.1]]
    found = read_one(tmp_path / "t.parquet", lists, [1, 3, 0])
    assert found.sample_id.tolist() == ["q1", "q2", "q3"]
    assert found.confidence.tolist() == pytest.approx([0.9, 0.4, 0.6])
    assert found.confidence.dtype == np.float32


def test_verdicts_follow_their_questions_and_old_files_have_none(tmp_path):
    lists = [[0.4, 0.6], [0.1, 0.2, 0.3, 0.4], [0.5, 0.5]]
    found = read_one(tmp_path / "new.parquet", lists, [1, 3, -1], [[1, 0], [3, 2, 1], [-1]])
    assert found.verdicts.tolist() == [[-1, -2, -2], [3, 2, 1], [1, 0, -2]]
    assert found.score.tolist() == [0, 0, 0]
    assert found.confidence[0] == pytest.approx(0.5)
    assert found.only(np.array([False, False, True])).verdicts.tolist() == [[1, 0, -2]]
    old = read_one(tmp_path / "old.parquet", lists, [1, 3, 0])
    assert old.verdicts is None
    assert old.only(np.array([True, False, False])).verdicts is None


def test_probabilities_of_another_number_than_options_name_the_file(tmp_path):
    with pytest.raises(DataError, match=r"t\.parquet: a question has not one probability"):
        read_one(tmp_path / "t.parquet", [[0.4, 0.6], [0.5, 0.5]], [1, 0])


TWO_ARMS = study(
    (row(), answers("ABCD", "ABCA", 4, [0.9, 0.8, 0.7, 0.4])),
    (row("baseline", run="baseline"), answers("ABAB", "AAAA", 2, [0.6] * 4)),
)


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]


def test_untrained_arms_stand_beside_those_of_their_backbone():
    with mpl.rc_context(STYLE):
        figure = letters_figure(letter_use(TWO_ARMS))
    assert titles(figure) == [
        "tiny, recipe full, 600 samples; questions of 2 options\nbaseline: RStd 50.0",
        "tiny, recipe full, 600 samples; questions of 4 options\ncg: RStd 43.3",
    ]


def test_the_reliability_diagram_has_each_bin_at_its_confidence_and_accuracy():
    with mpl.rc_context(STYLE):
        figure = calibration_figure(calibration(TWO_ARMS))
    cg = next(axes for axes in figure.axes if "cg" in axes.get_title(loc="left"))
    (drawn,) = [line for line in cg.lines if line.get_marker() == "o"]
    assert drawn.get_xdata() == pytest.approx([40, 70, 80, 90])
    assert drawn.get_ydata() == pytest.approx([0, 100, 100, 100])
    assert [text.get_text() for text in cg.texts] == ["1"] * 4


def test_arms_beyond_the_bound_are_said():
    arms = [row(name, run=f"full/{name}/seed0") for name in ("cg", "control", *"abcde")]
    many = study(*((one, answers("AB", "AB", 2)) for one in arms))
    for figure in (letters_figure(letter_use(many)), calibration_figure(calibration(many))):
        assert sum(axes.get_visible() for axes in figure.axes) == 6
        assert "1 further arms are not drawn" in " ".join(figure.get_suptitle().split())
