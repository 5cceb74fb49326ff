"""SLAKE in its layout: closed questions, frequent answers of open ones, and the rest counted."""

import json

import pytest

from data_makers import picture
from matcg.config.explain import validate
from matcg.config.library import load
from matcg.config.question_options import QuestionOptions
from matcg.config.reader_options import SplitBy
from matcg.data import readers
from matcg.data.found_file import write_found
from matcg.data.prepare import prepare
from matcg.errors import BadRowError, ConfigError
from matcg.identity import named, of_subset
from matcg.samples import read_samples

# Files, columns and the first words of questions as catalogs/slake.yaml cites them.
FILES = {"train.json": 60, "validation.json": 8, "test.json": 12}


def rows(number):
    """Return the questions about one picture."""
    lung = {"location": "Lung", "modality": "X-Ray", "img_name": f"xmlab{number}/source.jpg"}
    abdomen = {**lung, "location": "Abdomen", "modality": "CT"}
    healthy, organ = ("Yes", "No")[number % 2], ("Liver", "Heart", "Lung")[number % 3]
    rare = "Spleen" if number % 10 == 0 else organ
    asked = [
        (lung, "Is the lung healthy?", healthy, "CLOSED", "Abnormality", "en"),
        (abdomen, "What is the largest organ in the picture?", rare, "OPEN", "Size", "en"),
        (abdomen, "What modality is used to take this image?", "CT", "OPEN", "Modality", "en"),
        (lung, "Is this X-ray?", "Yes", "CLOSED", "Modality", "en"),
        (lung, "肺部健康吗?", "是", "CLOSED", "Abnormality", "zh"),
    ]
    return [
        {
            "img_id": number,
            "question": text,
            "answer": answer,
            "q_lang": language,
            "answer_type": kind,
            "content_type": content,
            **place,
        }
        for place, text, answer, kind, content, language in asked
    ]


@pytest.fixture
def place(tmp_path, request):
    """Return a folder with the catalog and its data."""
    shipped = request.config.rootpath / "catalogs/slake.yaml"
    (tmp_path / "slake.yaml").write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    data, number = tmp_path / "data/slake", 0
    for name, n in FILES.items():
        of_file = range(number, number + n)
        number += n
        for each in of_file:
            (data / f"imgs/xmlab{each}").mkdir(parents=True)
            (data / f"imgs/xmlab{each}/source.jpg").write_bytes(picture(each, "JPEG"))
        (data / name).write_text(json.dumps([row for each in of_file for row in rows(each)]))
    return tmp_path


def test_its_questions_become_a_catalog(place):
    file = place / "slake.yaml"
    said = write_found(load("catalog", file), file, place / "data/slake", place / "apart")
    assert said[:3] == [
        "2 subsets of 152 of 320 rows; 0 set aside as unusable. Pictures were not looked for.",
        "8 rows left out: rare answers, by option `frequent`",
        "160 rows left out: the only answer of their subset",
    ]
    found = load("catalog", place / "slake-found.yaml")
    readers.check(found)
    sizes = {each.id: (each.rows, each.train, each.test, each.asks) for each in found.subsets}
    assert sizes == {
        "ct-abdomen-open-size": (72, 61, 9, None),
        "x-ray-lung-closed-abnormality": (80, 68, 12, None),
    }


@pytest.mark.parametrize(
    ("name", "answers", "aside"),
    [
        ("ct-abdomen-open-size", {"liver", "heart", "lung"}, {"rare answer": 8}),
        ("x-ray-lung-closed-abnormality", {"yes", "no"}, {}),
    ],
)
def test_a_subset_is_prepared_as_it_was_looked_at(place, name, answers, aside):
    file = place / "slake.yaml"
    write_found(load("catalog", file), file, place / "data/slake", place / "apart")
    asked = load("catalog", place / "slake-found.yaml").preparation(name)
    out = place / named(name, of_subset(asked))
    prepare(asked, place / "data/slake", out)
    train, test = (read_samples(out / f"{side}.parquet") for side in ("train", "test"))
    assert json.loads((out / "summary.json").read_text())["quarantined"] == aside
    assert {each.label.lower() for each in train + test} == answers
    assert all(each.options[each.answer] == each.label for each in train + test)
    assert {option.lower() for each in test for option in each.options} == answers
    # The source's own split, validation trained on.
    numbers = [{int(each.origin.split("/")[1][5:]) for each in side} for side in (train, test)]
    assert max(numbers[0]) < 68 <= min(numbers[1])


def test_what_asks_for_an_element_itself_says_so(place):
    data = place / "data/slake"
    more = [{**row, "answer": "MRI"} for n in range(20) for row in rows(n)[2:3]]
    train = json.loads((data / "train.json").read_text())
    (data / "train.json").write_text(json.dumps(train + more))
    file = place / "slake.yaml"
    write_found(load("catalog", file), file, data, place / "apart")
    asks = {each.id: each.asks for each in load("catalog", place / "slake-found.yaml").subsets}
    assert asks["ct-abdomen-open-modality"] == "modality"
    assert asks["ct-abdomen-open-size"] is None


def test_a_look_counts_no_more_of_a_label_than_its_cap(place):
    file = place / "slake.yaml"
    file.write_text(file.read_text().replace("train: 3000", "train: 3000, per_label: 15"))
    write_found(load("catalog", file), file, place / "data/slake", place / "apart")
    subsets = load("catalog", place / "slake-found.yaml").subsets
    assert [each.train for each in subsets] == [45, 30]


def test_an_element_that_is_asked_for_has_to_be_one(place):
    file = place / "slake.yaml"
    file.write_text(file.read_text().replace("Modality: modality", "Modality: modalty"))
    with pytest.raises(ConfigError, match=r"elements.task.asks.Modality: no element .*'modality'"):
        load("catalog", file)


def test_a_split_by_the_file_s_name():
    by = validate(SplitBy, {"file": "^(train|val|test)", "train": ["train", "val"]}, "x")
    assert [by.is_test("", "test/x.png", f"{name}.json") for name in ("train", "val", "test")] == [
        *(False, False, True)
    ]
    with pytest.raises(BadRowError, match="split unknown: '' in the file's name"):
        by.is_test("", "x", "more.json")
    with pytest.raises(ConfigError, match=r"needs `column` .*, `path` or `file`"):
        validate(SplitBy, {"file": "a", "path": "b"}, "x")


def test_frequent_is_checked():
    columns = {"image": "i", "question": "q", "answer": "a"}
    given = {"files": "t.csv", "columns": columns, "rebuild": {}, "frequent": {"rows": 0}}
    with pytest.raises(ConfigError, match=r"frequent.rows: 0 must be greater than 0"):
        QuestionOptions.parse(given)
