"""Every sample that a backbone has no room for is set aside, and none that it has room for."""

import json
from dataclasses import asdict

import pyarrow as pa
import pytest
from transformers import AutoProcessor

from data_makers import FAKE, folder, sample
from matcg import told
from matcg.config.library import load
from matcg.errors import DataError
from matcg.models.lengths import ROOM, Ruler, measure, room_of
from matcg.samples import SCHEMA, labelled
from matcg.train.batches import Collator, Pictures
from sibling_fixtures import CPU, NAMES, ROOT, siblings  # noqa: F401, a fixture

TINY = load("backbone", ROOT / "backbones" / "tiny-llava.yaml")


def as_table(*samples):
    told = {"form": samples[0].form}
    rows = [asdict(each) for each in samples]
    return pa.Table.from_pylist(rows, schema=labelled(SCHEMA, told))


def words(n, word="word "):
    return f"{word * n}?"


@pytest.fixture(params=NAMES)
def backbone(request, siblings):  # noqa: F811
    return TINY if request.param == "tiny-llava" else siblings(request.param)


def test_what_is_measured_is_what_is_trained_on(backbone, tmp_path):
    processor = AutoProcessor.from_pretrained(backbone.weights)
    reader = Collator(processor, backbone, {}, CPU, Pictures(backbone))
    ruler = Ruler(backbone, tmp_path / ROOM)
    texts = ("x", "Ménière", "<image> </s>", words(30), words(30, "\u4e00"))
    for number, question in enumerate(texts):
        asked = sample(number, question=question)
        length = int(reader.encode([asked], ["A"])["attention_mask"].sum())
        ruler.__dict__["room"] = room = room_of(processor, backbone)
        for context, aside in ((length, 0), (length - 1, 1)):
            ruler.__dict__["room"] = type(room)(context, room.picture, room.special)
            found = dict(ruler.aside(as_table(asked)))
            assert len(found) == aside, question
            assert all(f"too long: {length} tokens" in why for why in found.values())


def test_both_sides_are_measured_and_what_the_backbone_takes_is_kept(tmp_path):
    long = [sample(n, question=words(1500)) for n in (1, 3)]
    folder(tmp_path, "s-0000aaaa", [sample(0), long[0]], [sample(2), long[1]], "0000aaaa")
    files = {side: tmp_path / f"s-0000aaaa/{side}.parquet" for side in ("train", "test")}
    out = tmp_path / "tiny-1111bbbb/cat/s-0000aaaa.json"
    measure(TINY, files, out, "1111bbbb")
    aside = told.set_aside(out)
    assert {side: list(found) for side, found in aside.items()} == {
        "train": ["s-1"],
        "test": ["s-3"],
    }
    assert aside["test"]["s-3"].endswith("with its picture, of which tiny-llava takes 1024")
    kept = out.parents[1] / ROOM
    assert json.loads(kept.read_text())["context"] == 1024
    kept.write_text('{"context": 8, "picture": 1, "special": ["<image>"]}')
    measure(TINY, files, out, "1111bbbb")
    assert len(told.set_aside(out)["train"]) == 2
    measure(TINY, files, out, "2222cccc")
    with pytest.raises(DataError, match="they were measured by the digest 2222cccc"):
        told.set_aside(out)


@pytest.mark.parametrize("form", ["choice", "boxes"])
def test_of_no_samples_none_is_set_aside(tmp_path, form):
    none = as_table(sample(0, form=form)).slice(0, 0)
    assert list(Ruler(TINY, tmp_path / ROOM).aside(none)) == []


def test_texts_that_surely_fit_need_no_tokeniser(tmp_path, monkeypatch):
    ruler = Ruler(TINY, tmp_path / ROOM)
    assert ruler.room.context == 1024
    again = Ruler(TINY, tmp_path / ROOM)
    monkeypatch.setattr(AutoProcessor, "from_pretrained", None)
    assert list(again.aside(as_table(*map(sample, range(9))))) == []


def test_a_command_is_not_given_a_text_with_the_sign_of_a_picture(tmp_path):
    own = {
        "train": ("x", "{data}", "{out}"),
        "answer": ("x", "{weights}", "{questions}", "{out}"),
        "version": "1",
    }
    given = FAKE.model_dump() | {"commands": own, "engine": "command"}
    ruler = Ruler(type(FAKE).model_validate(given), tmp_path / ROOM)
    samples = [sample(0), sample(1, question="An <image>?"), sample(2, question="</s>")]
    assert [name for name, _ in ruler.aside(as_table(*samples))] == ["s-1"]


def test_samples_of_several_numbers_of_options_are_told_apart(tmp_path):
    ruler = Ruler(TINY, tmp_path / ROOM)
    letters = [f"{n} {n}" for n in range(26)]
    samples = [
        sample(n, options[0], options=options, question=words(size))
        for n, (size, options) in enumerate(
            [(1, ("a", "b")), (1, tuple(letters)), (1100, ("a", "b")), (1100, tuple(letters))]
        )
    ]
    table = as_table(*samples)
    assert ruler._short(table).to_pylist() == [True, True, False, False]
    assert [name for name, _ in ruler.aside(table)] == ["s-2", "s-3"]
    located = as_table(sample(0, form="boxes", size=(16, 16), options=("yes",)))
    assert ruler._short(located).to_pylist() == [False]
    assert list(ruler.aside(located)) == []
