"""A reader is found by its file: one from a file under tests goes from catalog to samples."""

import subprocess
import sys
from pathlib import Path

import pytest

from data_makers import picture
from matcg.config.library import load
from matcg.data import readers
from matcg.data.prepare import prepare
from matcg.errors import ConfigError
from matcg.identity import named, of_subset
from matcg.samples import read_samples

CATALOG = "name: c\nreader: {}\nelements: [m]\nsubsets: [{{id: a, m: x}}]\n"


def catalog(folder, reader, more=""):
    (folder / "c.yaml").write_text(CATALOG.format(reader) + more)
    return load("catalog", folder / "c.yaml")


@pytest.fixture
def folders(monkeypatch):
    """Put the reader of `plugged` beside those of the library."""
    plugged = str(Path(__file__).parent / "plugged")
    monkeypatch.setattr(readers, "__path__", [*readers.__path__, plugged])


@pytest.mark.usefixtures("folders")
def test_a_reader_from_a_file_alone_is_used_from_catalog_to_samples(tmp_path):
    for n in range(30):
        file = tmp_path / f"a/{'cat' if n % 2 else 'dog'}/{n}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(n))
    found = catalog(tmp_path, "folders", "options: {question: Which one}\n")
    readers.check(found)
    assert (readers.get("folders").threads, readers.get("folders").folder) == (2, True)
    asked = found.preparation("a")
    out = tmp_path / named("a", of_subset(asked))
    prepare(asked, tmp_path, out)
    train, test = (read_samples(out / f"{side}.parquet") for side in ("train", "test"))
    assert sorted(int(each.sample_id) for each in train + test) == list(range(30))
    assert {each.question for each in train} == {"Which one"}
    assert {each.label: each.answer for each in test} == {"cat": 0, "dog": 1}


@pytest.mark.usefixtures("folders")
def test_its_options_are_checked_before_anything_is_run(tmp_path):
    with pytest.raises(ConfigError, match=r"c.yaml: options: reader folders: the only option is"):
        readers.check(catalog(tmp_path, "folders", "options: {qestion: x}\n"))


def test_an_unknown_reader_is_an_error_that_names_the_nearest(tmp_path):
    found = catalog(tmp_path, "fantom")
    with pytest.raises(ConfigError, match=r"c.yaml: reader: no reader 'fantom'.*'phantom'"):
        readers.check(found)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("options: {group_py: x}\n", "options: reader medmat: group_py: unknown key. Did you"),
        (
            "general: [{id: w, options: {only: {}, fils: x}}]\n",
            r"general\[0\] \('w'\): .*fils: unknown key",
        ),
    ],
)
def test_a_reader_s_options_are_checked_with_the_catalog(tmp_path, where, message):
    found = catalog(tmp_path, "medmat", where)
    with pytest.raises(ConfigError, match=message):
        readers.check(found)


def test_a_subset_has_a_reader_and_options_of_its_own(tmp_path):
    own = "reader: coco, options: {files: c.json, images: x"
    more = "options: {labels: {a: b}}\ngeneral: [{id: w, %s}}, {id: v}]\n"
    found = catalog(tmp_path, "medmat", more % own)
    readers.check(found)
    made = [found.preparation(name) for name in "wv"]
    assert [(each.reader, each.options) for each in made] == [
        ("coco", {}),
        ("medmat", {"labels": {"a": "b"}}),
    ]
    with pytest.raises(ConfigError, match=r"general\[0\] \('w'\): .*only: unknown key"):
        readers.check(catalog(tmp_path, "medmat", more % f"{own}, only: x"))


def test_the_rules_can_ask_every_reader_without_what_takes_long_to_import():
    code = (
        "import sys; from matcg import plugins; from matcg.data import readers\n"
        "found = plugins.names_in(readers); [readers.get(name) for name in found]\n"
        "print(*found, *{'numpy', 'pandas', 'pyarrow', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=None
    )
    readers_there = (
        "class_folders coco derived masks medmat medmnist phantom questions table voc yolo"
    )
    assert done.stdout.split() == readers_there.split()
