"""Any form of answer is found by its file, and no other module asks which form a sample has."""

import ast
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data_makers import FAKE, folder, sample
from matcg import forms
from matcg.analysis.answers import read_answers
from matcg.analysis.comparison import Claims, comparisons
from matcg.analysis.letters import letter_use
from matcg.analysis.localisation import localisations
from matcg.analysis.pairs import Study
from matcg.analysis.summary import summaries
from matcg.config.protocol import Protocol
from matcg.data.mix_samples import draw_samples, shuffle_labels
from matcg.errors import ConfigError
from matcg.evaluate.requests import make_asks, tabulate
from matcg.forms import Reply
from matcg.models.prompts import prompt_of, view_of
from matcg.plan.records import Mix, Row
from matcg.samples import read_samples

PLUGGED = Path(__file__).parent / "plugged"
LIBRARY = Path(forms.__file__).parents[1]
# What makes samples with options, teaches letters to a model, or looks at letters alone.
OF_CHOICE = {"data/medmat.py", "data/release_table.py", "tiny/model.py", "tiny/lessons.py"}
OF_CHOICE |= {"analysis/labels.py", "analysis/letters.py", "data/option_lines.py"}
OF_CHOICE |= {"data/label_names.py", "data/question_table.py", "data/derived.py"}
HOMES = {"samples.py", "config/catalog.py"}


@pytest.fixture
def number(monkeypatch):
    """Put the form of `number.py` beside those of the library, and return samples of it."""
    monkeypatch.setattr(forms, "__path__", [*forms.__path__, str(PLUGGED)])
    return [numbered(n, str(10 * n)) for n in range(4)]


def numbered(n, label):
    return sample(n, label, options=(label,), form="number")


def test_a_form_from_a_file_alone_is_trained_on(number, tmp_path):
    data = folder(tmp_path, "s", number)
    assert read_samples(data / "train.parquet") == number
    drawn = draw_samples(Mix("m", "cat", (("s", 4),), 0, "true"), "s", 4, data)
    assert {each.sample.sample_id: each.answer for each in drawn} == {
        each.sample_id: int(each.label) for each in number
    }
    floor = [each.answer for each in shuffle_labels(drawn, 0)]
    assert sorted(floor) == [0, 10, 20, 30]
    assert floor != [each.answer for each in drawn]
    form = forms.of(number[1])
    assert form.told(number[1], form.truth(number[1]), view_of(FAKE)) == "10"
    assert prompt_of(number[0], FAKE) == "<image>Well? Say a number.\nSay:"


def test_a_form_from_a_file_alone_is_asked_read_scored_and_shown(number):
    protocol = Protocol(name="p", max_tokens=5, shots=1, per="prompt")
    asks = make_asks(number[3:], protocol, FAKE, 0, [numbered(9, "30")])
    stem = "<image>Well? Say a number.\nSay: 30!\n"
    assert [ask.prompt for ask in asks] == [f"{stem}<image>Well? Say a number.\nSay:"]
    wording = asks[0].wording
    assert (wording.way, wording.length, asks[0].scored().wording.way) == ("text", 5, "texts")
    table = tabulate("run", number[3:], asks, [Reply((), 7, "27")], {}, view_of(FAKE))
    assert table.to_pylist() == [{"run": "run", "sample_id": "s-3", "said": "27", "near": 0.25}]
    shown = forms.of(number[1]).show(number[1])
    assert (shown.marks, shown.offered, shown.right) == (("is",), ("10",), 0)


@pytest.mark.usefixtures("number")
def test_a_form_from_a_file_alone_is_compared_by_its_main_score(tmp_path):
    """Arms that say other numbers, from files of answers to the records of tables."""
    said = {"cg": "30", "control": "33"}
    rows = [
        Row(*("x", "cat", "t", "", "", arm, "tiny", "full", 0, "m", arm, 60), asked=arm)
        for arm in said
    ]
    for row in rows:
        answer = Reply((), 7, said[row.arm])
        samples = [numbered(n, "30") for n in range(8)]
        asks = make_asks(samples, Protocol(name="p", max_tokens=5), FAKE, 0, [])
        table = tabulate(row.arm, samples, asks, [answer] * 8, {}, view_of(FAKE))
        pq.write_table(table, tmp_path / f"{row.arm}.parquet")
    places = {row.key: tmp_path / f"{row.arm}.parquet" for row in rows}
    study = Study(rows, read_answers(places, rows))
    (found,) = comparisons(study, Claims())
    assert (found.score, found.cg, found.control) == ("mean near", 1.0, 0.25)
    assert (found.p_swap, found.verdict) == (2 / 2**8, "helps")
    assert {each.score for each in summaries(study, [found])} == {"mean near"}
    assert localisations(study) == letter_use(study) == []


@pytest.mark.usefixtures("number")
def test_letters_are_the_answers_of_one_token_with_another_form_too():
    assert "".join(forms.of_one_token()) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_an_unknown_form_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no form of answer 'choise'. Did you mean 'choice'"):
        forms.of(sample(0, form="choise"))


def asking(tree):
    """Yield what in a module asks for a sample's form, or knows a single one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "form":
            yield f"line {node.lineno} reads .form"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("matcg.forms."):
            yield f"line {node.lineno} imports {node.module}"
        elif isinstance(node, ast.Call) and any(
            isinstance(each, ast.Constant) and each.value == "form" for each in node.args
        ):
            yield f"line {node.lineno} asks for 'form'"


def test_no_other_module_asks_which_form_a_sample_has():
    found = {
        path.relative_to(LIBRARY).as_posix(): list(asking(ast.parse(path.read_text())))
        for path in LIBRARY.rglob("*.py")
    }
    known = {name for name in found if name.startswith("forms/")} | HOMES | OF_CHOICE
    others = {name: lines for name, lines in found.items() if name not in known}
    assert {name: lines for name, lines in others.items() if lines} == {}
    for name in OF_CHOICE:
        assert [line for line in found[name] if "matcg.forms.choice" not in line] == []
        assert found[name], f"{name} needs no leave"
