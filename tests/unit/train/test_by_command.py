"""A backbone with commands of its own: trained and asked by them, with all checks around."""

import json
import re
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data_makers import folder, found, sample, write_mix
from matcg.config.backbone import Backbone
from matcg.config.library import load
from matcg.config.protocol import Protocol
from matcg.errors import ConfigError, DataError, MatcgError, StoppedError
from matcg.evaluate.command_engine import read_answers
from matcg.evaluate.kept_answers import Store
from matcg.evaluate.predict import Group, predict
from matcg.evaluate.question_sets import read_asked
from matcg.identity import named, of_recipe
from matcg.models.commands import run_command
from matcg.models.identity import of_asking, of_backbone
from matcg.samples import Finding
from matcg.train.by_command import SETTINGS
from matcg.train.finetune import finetune

PAGE = Path(__file__).parents[3] / "docs/extending.md"
SCRIPT = Path(__file__).with_name("frequent.py")
EXAMPLE = re.compile(r"^`backbones/qwen-elsewhere\.yaml`:\n\n```yaml\n(.*?)^```$", re.M | re.S)
GENERATE = Protocol(name="generate", scoring="generate")
BOXES = Protocol(name="letters")  # of answers that are places


def own(*words: str, which: str = "train") -> dict[str, object]:
    """Return commands of the test's script, one of which has other words."""
    start = (sys.executable, str(SCRIPT))
    given = {
        "train": (*start, "train", "{data}", "{out}"),
        "answer": (*start, "answer", "{weights}", "{questions}", "{out}"),
    }
    return {**given, **({which: words} if words else {}), "version": "1"}


@pytest.fixture
def backbone(tmp_path: Path) -> Backbone:
    """Return the page's backbone, whose commands are those of the test's script."""
    (text,) = EXAMPLE.findall(PAGE.read_text(encoding="utf-8"))
    (tmp_path / "qwen-elsewhere.yaml").write_text(text, encoding="utf-8")
    given = load("backbone", tmp_path / "qwen-elsewhere.yaml")
    (tmp_path / "no weights").mkdir()
    fields = given.model_dump() | {"commands": own(), "weights": str(tmp_path / "no weights")}
    return Backbone(**{**fields, "image": {"size": 16}, "resources": {}})


def trained(backbone: Backbone, root: Path, *labels: str) -> Path:
    """Train on samples of some labels and return the run's folder."""
    samples = [sample(n, label) for n, label in enumerate(labels)]
    folder(root / "data/cat", "s", samples, [sample(9 + n) for n in range(3)])
    mix = write_mix(root / "mix.parquet", samples)
    recipe = backbone.recipes["full"]
    place = (named(backbone.name, of_backbone(backbone)), named("full", of_recipe(recipe)))
    out = root.joinpath("runs", *place, "mix", "seed0")
    finetune(mix, root / "data/cat", backbone, recipe, 0, out, threads=1)
    return out


def test_the_ideal_reader_is_started_with_this_library_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the library is not installed: a command has an environment of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    reader = load("backbone", PAGE.parents[1] / "backbones/ideal-reader.yaml")
    questions, out = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    questions.write_text('{"id": "0:composed-ct-knee-side/test/00000"}\n', encoding="utf-8")
    places = {"weights": reader.weights, "questions": str(questions), "out": str(out)}
    run_command(reader, "answer", places)
    (text,) = read_answers(out, ["0:composed-ct-knee-side/test/00000"]).values()
    assert text in ("left", "right")


def test_a_run_is_trained_and_answers_by_commands(backbone: Backbone, tmp_path: Path) -> None:
    out = trained(backbone, tmp_path, "no", "no", "yes")
    counts = json.loads((out / "weights/counts.json").read_text())
    epochs = backbone.recipes["full"].epochs
    assert list(counts.values()) == [{"A": epochs, "B": 2 * epochs}]
    record = json.loads((out / "provenance.json").read_text())
    assert SETTINGS in SCRIPT.read_text()
    assert (record["samples"], record["backbone"]["commands"][1]) == (3, "1")
    assert {path.name for path in out.iterdir()} == {"weights", "metrics.jsonl", "provenance.json"}

    boxes = [found(n, Finding("lesion", (0, 0, 9, 9)), subset="b") for n in range(2)]
    folder(tmp_path / "data/cat", "b", [], boxes)
    protocols = {each.name: each for each in (GENERATE, BOXES)}
    places = (("cat", "s", "s", "@generate", "cat/s.parquet"), ("cat", "b", "b", "", "b.parquet"))
    runs = {"baseline": Path(backbone.weights), "/".join(out.parts[-3:]): out / "weights"}
    asked = read_asked(dict.fromkeys(runs, places), protocols, tmp_path / "data")
    store = Store(tmp_path / "answers" / named(backbone.name, of_asking(backbone)))
    predict(Group(runs, asked, backbone, {}, store, "all"), store.folder / "all.json")
    base, own = (
        [pq.read_table(store.path(run, each)).to_pylist() for each in asked[run]] for run in runs
    )
    assert [row["predicted"] for row in base[0]] == [-1] * 3  # it says nothing
    assert [row["predicted"] for row in own[0]] == [1] * 3
    assert [(row["given"], row["fn"], row["text"]) for row in own[1]] == [([], 1, "")] * 2
    record = json.loads((store.folder / "all.json").read_text())
    assert (record["starts"], record["questions"]) == (2, 10)
    # Scores that text does not have.
    place = ("cat", "s", "s", "", "letters.parquet")
    letters = read_asked({"baseline": (place,)}, protocols, tmp_path / "data")
    group = Group({"baseline": runs["baseline"]}, letters, backbone, {}, store, "all")
    with pytest.raises(ConfigError, match=r"commands\.answer: .* probability of each token"):
        predict(group, store.folder / "all.json")


def test_weights_that_a_command_wrote_decide_its_answers_whatever_their_files_are_called(
    backbone: Backbone,
) -> None:
    (Path(backbone.weights) / "deep").mkdir()
    digests = set()
    for text in ("a", "b"):
        (Path(backbone.weights) / "deep/model.pth").write_text(text)
        digests.add(of_backbone(backbone))
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (("no such program", "{data}{out}"), ConfigError, "cannot be started"),
        ((sys.executable, "-c", "raise SystemExit(3)", "{data}{out}"), MatcgError, "status 3"),
        ((sys.executable, "-c", "pass", "{data}{out}"), MatcgError, "has written no weights"),
    ],
)
def test_a_command_that_fails_is_named_and_leaves_no_run(
    backbone: Backbone, tmp_path: Path, words: tuple[str, ...], error: type[Exception], said: str
) -> None:
    broken = Backbone(**backbone.model_dump() | {"commands": own(*words)})
    with pytest.raises(error, match=rf"qwen-elsewhere.*: commands\.train: .*{said}"):
        trained(broken, tmp_path, "no")
    assert not list(tmp_path.rglob("provenance.json"))


def test_words_are_arguments_that_no_shell_reads(
    backbone: Backbone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "import sys; open(sys.argv[2], 'w').write(sys.argv[1])"
    words = (sys.executable, "-c", code, "$HOME; {data} 'x'", "{out}")
    odd = Backbone(**backbone.model_dump() | {"commands": own(*words)})
    run_command(odd, "train", {"data": "a b", "out": str(tmp_path / "said")})
    assert (tmp_path / "said").read_text() == "$HOME; a b 'x'"
    assert "'$HOME; a b '\"'\"'x'\"'\"''" in capsys.readouterr().out


def test_a_command_is_stopped_with_what_it_has_started(backbone: Backbone) -> None:
    slow = Backbone(**backbone.model_dump() | {"commands": own("sleep", "600{data}{out}")})
    with pytest.raises(StoppedError, match="stopped by SIGTERM"):
        run_command(slow, "train", {"data": "", "out": ""}, lambda: 15)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (None, "has not written it"),
        ('{"id": "0:a", "text": "A"}\n', r"1 of 2 answers are missing, the first .* '1:b'"),
        ('{"id": "0:a", "text": "A"}\nA\n', "line 2: is no JSON"),
        ('{"id": "0:a", "text": 1}\n', "line 1: is not"),
        ('["0:a"]\n', "line 1: is not"),
        ('{"id": "2:c", "text": "A"}\n', "line 1: id '2:c' is none of"),
        ('{"id": "0:a", "text": "A"}\n' * 2, "line 2: id '0:a' is answered a second time"),
    ],
)
def test_answers_that_are_not_those_that_were_asked_for_are_named_with_their_line(
    tmp_path: Path, lines: str | None, said: str
) -> None:
    file = tmp_path / "answers.jsonl"
    if lines is not None:
        file.write_text(lines)
    with pytest.raises(DataError, match=rf"answers\.jsonl.*{said}"):
        read_answers(file, ["0:a", "1:b"])
    file.write_text('{"id": "1:b", "text": " B "}\n{"id": "0:a", "text": "A", "more": 1}\n')
    assert read_answers(file, ["0:a", "1:b"]) == {"0:a": "A", "1:b": "B"}


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": "vllm"},
        {"commands": None},
        {"commands": own("train", "{data}")},
        {"commands": own("answer", "{questions}{out}", which="answer")},
    ],
)
def test_commands_lack_neither_their_engine_nor_a_place(
    backbone: Backbone, changes: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=r"go together|stands in none of its words"):
        Backbone(**backbone.model_dump() | changes)
