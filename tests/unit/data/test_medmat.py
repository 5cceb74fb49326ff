"""The Med-MAT reader: good rows are read, every bad one is set aside with its reason."""

import json
import socket
import unicodedata
from collections import Counter

import numpy as np
import pytest
import tifffile
from realmat import REALMAT, needs_realmat

from data_makers import picture, release, row, spec
from matcg.data.candidates import ImageCount
from matcg.data.medmat import read_medmat
from matcg.data.sampling import Draw
from matcg.errors import BadRowError, ConfigError, DataError
from matcg.images import decode

# Each with the beginning of its reason; every row is number 3 of a file with four rows.
BAD_ROWS = {
    "no object": (["id", 2], "not an object"),
    "null": (None, "not an object"),
    "no answer": (row(2, Answer=None), "no answer"),
    "empty answer": (row(2, Answer=" "), "no answer"),
    "no letter": (row(2, **{"Answer-choice": None}), "no answer"),
    "answer not offered": (row(2, Answer="cow"), "answer not among its options: cow"),
    "letter disagrees": (row(2, **{"Answer-choice": "B"}), "letter disagrees with answer: B and"),
    "letter's text disagrees": (row(2, **{"Answer-choice": "A: dog"}), "letter disagrees"),
    "letter not offered": (row(2, **{"Answer-choice": "D"}), "letter disagrees"),
    "letter unreadable": (row(2, **{"Answer-choice": "cat"}), "letter unreadable"),
    "no image key": (row(2, image=None), "key missing: image"),
    "no question": (row(2, Question=""), "key missing: Question"),
    "no id": (row(2, id=None), "key missing: id"),
    "no dataset": (row(2, **{"data-no": None}), "key missing: data-no"),
    "image is a list": (row(2, image=["a"]), "wrong type: image"),
    "id is a list": (row(2, id=[2]), "wrong type: id"),
    "half a character": (row(2, Question="\ud800"), "wrong type: half a character"),
    "no options": (row(2, **{"Question-choice": "What is it?"}), "options unreadable"),
    "last option unreadable": (
        row(2, **{"Question-choice": "What is it?\nA: cat\nB: dog\nC - cow"}),
        "options unreadable: after option 'B' stands neither an option nor",
    ),
    "duplicate id": (row(0), "duplicate id: the one of row 1"),
    "missing image": (row(2, image="med-mat/none.png"), "image missing"),
    "a folder": (row(2, image="med-mat"), "image missing"),
    "a socket": (row(2, image="med-mat/socket"), "image missing"),
    "truncated image": (row(2, image="med-mat/cut.png"), "image damaged"),
    "no image": (row(2, image="med-mat/page.png"), "not an image"),
    "empty file": (row(2, image="med-mat/empty.png"), "not an image"),
    "climbing path": (row(2, image="../secret.png"), "image outside its data folder"),
    "climbing back": (row(2, image="med-mat/../med-mat/2.png"), "image outside its data folder"),
    "absolute path": (row(2, image="/etc/hostname"), "image outside its data folder"),
    "drive": (row(2, image="C:\\secret.png"), "image outside its data folder"),
    "link out": (row(2, image="med-mat/out.png"), "image outside its data folder"),
    "linked folder out": (row(2, image="med-mat/up/secret.png"), "image outside its data folder"),
    "link to itself": (row(2, image="med-mat/loop.png"), "image missing"),
    "null byte": (row(2, image="med-mat/\0.png"), "image missing"),
    "long name": (row(2, image="x" * 5000), "image missing"),
}


def read_all(subset, options, root):
    """Return the samples of a source in its order, and all rows set aside, images looked at."""
    source = read_medmat(subset, options, root)
    draw = Draw(source, source.pool.ranks(0))
    everything = np.ones(len(source.pool), dtype=bool)
    taken = draw.train(everything, len(source.pool), 0, [], 0)
    rejected = [source.reject(at, reason) for at, reason in draw.rejected.items()]
    return [taken[at] for at in sorted(taken)], [*source.quarantined, *rejected]


@pytest.fixture
def root(tmp_path):
    """Return a data folder beside a file that must not be read, with traps inside."""
    (tmp_path / "secret.png").write_bytes(picture(99))
    folder = release(tmp_path / "data", [row(n) for n in range(40)])
    images = folder / "med-mat"
    (images / "cut.png").write_bytes(picture(1)[:50])
    (images / "page.png").write_text("<html>404</html>")
    (images / "empty.png").touch()
    (images / "out.png").symlink_to(tmp_path / "secret.png")
    (images / "up").symlink_to(tmp_path)
    (images / "loop.png").symlink_to("loop.png")
    return folder


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_set_aside_with_file_row_and_reason(root, case, monkeypatch):
    bad, reason = BAD_ROWS[case]
    # Relative, because a socket's path may not be long.
    monkeypatch.chdir(root / "med-mat")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        release(root, [row(0), row(1), bad, row(3)])
        samples, (set_aside,) = read_all(spec(), {}, root)
    assert [sample.origin for sample in samples] == [f"med-mat/{n}.png" for n in (0, 1, 3)]
    assert (set_aside.file, set_aside.row) == ("Aggregated_Subsets/Subset--30-train.json", "3")
    assert set_aside.reason.startswith(reason)
    assert read_medmat(spec(), {}, root).rows == 4


def test_an_id_that_all_rows_share_is_found_at_once(root):
    """Of twenty thousand rows with one id each names the first, in no more than linear time."""
    release(root, [row(0), *({**row(1), "id": 7} for _ in range(20_000))])
    source = read_medmat(spec(), {}, root)
    assert source.rows == 20_001
    assert {each.reason for each in source.quarantined} == {"duplicate id: the one of row 2"}


def test_reasons_are_the_same_each_time(root):
    release(root, [bad for bad, _ in BAD_ROWS.values()])
    first, second = (read_all(spec(), {}, root)[1] for _ in range(2))
    assert first == second


def test_good_rows_become_samples(root):
    release(root, [row(1), row(4, **{"Answer-choice": "A: cat"}, id="x4")])
    (one, four), _ = read_all(spec(), {}, root)
    assert (one.sample_id, four.sample_id) == ("30-5-1", "30-5-x4")
    assert (one.options, one.answer, one.label) == (("cat", "dog"), 1, "dog")
    assert (one.question, one.dataset, one.group) == ("What is it?", "5", "")


def test_ids_may_start_anew_in_every_source_dataset(root):
    release(root, [row(1), row(3, id=1, **{"data-no": 6})])
    samples, set_aside = read_all(spec(), {}, root)
    assert len(samples) == 2
    assert not set_aside


def test_images_are_read_only_when_they_are_drawn(root):
    source = read_medmat(spec(), {}, root)
    assert source.load(7).image == picture(7)
    (root / "med-mat" / "7.png").unlink()
    with pytest.raises(BadRowError, match="image missing"):
        source.load(7)


def test_equal_pictures_in_other_files_have_equal_fingerprints(root):
    (root / "med-mat" / "1.png").write_bytes(picture(0, "BMP"))
    zero, one, two, *_ = (sample.fingerprint for sample in read_all(spec(), {}, root)[0])
    assert zero == one != two


def test_pictures_of_many_bits_are_kept_as_they_are_seen_through_the_window(root):
    ramp = np.linspace(-1000, 1000, 256, dtype="i2").reshape(16, 16)
    for name, kind in (("1.png", "i4"), ("2.png", "c8")):
        tifffile.imwrite(root / "med-mat" / name, ramp.astype(kind))
    for window, black in ((None, 1), ([-500, 500], 65)):
        samples, (bad,) = read_all(spec(), {"window": window}, root)
        assert (len(samples), bad.row) == (39, "3")
        assert bad.reason.startswith("image not shown: TIFF of 1 x 64-bit samples of complex type")
        source = read_medmat(spec(), {"window": window}, root)
        assert source.load(0).image == picture(0)
        seen = np.asarray(decode(source.load(1).image, "x"))
        assert (seen == 0).all(axis=2).sum() == black
    with pytest.raises(ConfigError, match=r"window: write \[black, white\]"):
        read_medmat(spec(), {"window": [5, 5]}, root)


def test_images_are_counted_by_source_dataset(root):
    rows = [row(0), row(1, image="med-mat/0.png"), row(2, image="med-mat/gone, (1).png")]
    release(root, [*rows, row(3, image="med-mat/ünï [2].png", **{"data-no": 6})])
    (root / "med-mat" / "ünï [2].png").write_bytes(picture(3))
    assert read_medmat(spec(), {}, root).images == (
        ImageCount("5", 3, 2, 1, "med-mat/gone, (1).png"),
        ImageCount("6", 1, 1, 0),
    )


@pytest.mark.parametrize(
    "name",
    [
        "Aggregated_Subsets/Subset--30-train.json",
        "Aggregated_Subsets/Subset-30-train.json",
        "Subset--30-train.json",
        "Subset-30-train.json",
    ],
)
def test_every_place_that_the_release_used_is_found(root, name):
    (root / "Aggregated_Subsets/Subset--30-train.json").unlink()
    (root / name).write_text(json.dumps([row(1)]))
    assert read_medmat(spec(), {}, root).files == (name,)


def test_a_subset_may_be_the_rows_of_some_source_datasets(root):
    """Rows of others are another subset's; one that names no dataset stays and is set aside."""
    rows = [row(0), row(1, **{"data-no": "7"}), row(2, **{"data-no": None}), row(3)]
    release(root, [*rows, row(4, **{"data-no": 7}), row(5, Answer=None, **{"data-no": "7"})])
    samples, set_aside = read_all(spec(), {"only": ["7"]}, root)
    assert [sample.origin for sample in samples] == ["med-mat/1.png", "med-mat/4.png"]
    assert [(each.row, each.reason) for each in set_aside] == [
        ("3", "key missing: data-no"),
        ("6", "no answer: Answer or Answer-choice is missing or empty"),
    ]
    assert read_medmat(spec(), {"only": ["7"]}, root).rows == 4


def test_options_choose_file_group_and_label(root):
    (root / "mine.json").write_text(json.dumps([row(1), row(2, image="med-mat/12.png")]))
    options = {"files": "mine.json", "group_by": r"/(\d)(\d)\.", "labels": {"cat": "pet"}}
    (one, twelve), _ = read_all(spec(), options, root)
    assert (one.group, one.label) == ("", "dog")
    assert (twelve.group, twelve.label, twelve.options) == ("1/2", "pet", ("cat", "dog"))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"group_py": "x"}, "medmat: group_py: unknown key. Did you mean 'group_by'"),
        ({"group_by": "(x"}, "no regular expression"),
        ({"labels": {"cat": 1}}, "labels.cat: 1 must be a valid string; YAML reads it as a number"),
        ({"files": {"a": 1}}, "must be a text or a list"),
        ({"split_by": {"colum": "split"}}, "split_by.colum: unknown key. Did you mean 'column'"),
        ({"split_by": {}}, "needs `column`"),
        ({"split_by": {"column": "s", "path": "x"}}, "needs `column`"),
        ({"split_by": {"column": "s", "train": "a", "test": "a"}}, "'a' is train and test"),
        ({"rebuild": {"options": 1}}, "rebuild.options: 1 must be greater than or equal to 2"),
        ({"rebuild": {"instruction": "x"}}, "Did you mean 'instructions'"),
    ],
)
def test_a_wrong_option_is_named(root, options, match):
    with pytest.raises(ConfigError, match=match):
        read_medmat(spec(), options, root)


@pytest.mark.parametrize(
    "content", [b"", b"[{", b'{"id": 1}', b"\xff\xfe[]", b"[" * 100_000], ids=range(5)
)
def test_a_file_that_is_no_json_list_is_one_line(root, content):
    (root / "Aggregated_Subsets/Subset--30-train.json").write_bytes(content)
    with pytest.raises(DataError, match=r"^Aggregated_Subsets/.*fetch the file again$"):
        read_medmat(spec(), {}, root)


def test_a_missing_file_or_folder_says_what_to_do(root):
    with pytest.raises(DataError, match=r"subset 31: none of .*Subset--31-train.json"):
        read_medmat(spec("31"), {}, root)
    with pytest.raises(DataError, match="name it in the config under 'data:'"):
        read_medmat(spec(), {}, None)
    with pytest.raises(DataError, match=r"does not exist; make it .* or mend the config"):
        read_medmat(spec(), {}, root / "elsewhere")


def test_a_data_folder_that_is_itself_a_link_is_fine(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    assert len(read_medmat(spec(), {}, tmp_path / "link").pool) == 40


def test_labels_are_told_apart_by_neither_case_nor_spaces_nor_final_points(root):
    def asks(number, answer, options=("Cat", "dog")):
        text = "\n".join(f"{letter}: {o}" for letter, o in zip("AB", options, strict=True))
        return row(number, Answer=answer, **{"Question-choice": f"Q\n{text}", "Answer-choice": "A"})

    rows = [asks(0, "Cat"), asks(1, "CAT."), asks(2, " cat "), asks(3, "Cat", ("cat.", "dog"))]
    release(root, [*rows, asks(4, "cat", ("Cat", "cat."))])
    samples, (twice,) = read_all(spec(), {}, root)
    assert [sample.label for sample in samples] == ["cat"] * 4
    assert [sample.options[0] for sample in samples] == ["Cat", "Cat", "Cat", "cat."]
    assert twice.reason == "options unreadable: an option is given twice"
    for labels in ({"Cat": "Pet"}, {"cat": "Pet"}, {"CAT.": "Pet"}, {"\ufeffcat": "Pet"}):
        mapped, _ = read_all(spec(), {"labels": labels}, root)
        assert [sample.label for sample in mapped] == ["Pet"] * 4
    # What is written in two ways may count as two labels, which the writing then tells apart.
    mapped, _ = read_all(spec(), {"labels": {"Cat": "Pet", "CAT.": "Wild"}}, root)
    assert [sample.label for sample in mapped] == ["Pet", "Wild", "Pet", "Pet"]


def test_labels_and_options_are_one_in_either_unicode_form(root):
    one, other = (unicodedata.normalize(form, "Ménière") for form in ("NFC", "NFD"))

    def asks(number, answer, *options):
        text = "\n".join(f"{letter}: {o}" for letter, o in zip("AB", options, strict=True))
        return row(number, Answer=answer, **{"Question-choice": f"Q\n{text}", "Answer-choice": "A"})

    rows = [
        asks(0, one, other, "dog"),
        asks(1, other, one, "dog"),
        asks(2, f"{one}\u200b", one, "d"),
    ]
    release(root, [*rows, asks(3, one, one, other)])
    samples, (twice,) = read_all(spec(), {}, root)
    assert [sample.label for sample in samples] == [one.casefold()] * 3
    assert [sample.options[0] for sample in samples] == [other, one, one]
    assert twice.reason == "options unreadable: an option is given twice"
    mapped, _ = read_all(spec(), {"labels": {other: "Ear", "dog": "EAR"}}, root)
    assert [sample.label for sample in mapped] == ["Ear"] * 3


@pytest.mark.parametrize(
    "how",
    [{"column": "split", "test": ["val", "test"]}, {"path": r"/(train|test)_", "test": "test"}],
)
def test_the_source_s_own_split_is_told_by_column_or_path(root, how):
    sides = ("train", "test", "Test" if "column" in how else "test", "")
    rows = [
        row(n, split=side, image=f"med-mat/{side}_{n}.png" if side else f"med-mat/{n}.png")
        for n, side in enumerate(sides)
    ]
    for each in rows:
        (root / each["image"]).write_bytes(picture(each["id"]))
    release(root, rows)
    source = read_medmat(spec(), {"split_by": how}, root)
    assert source.tests.tolist() == [False, True, True]
    (unknown,) = source.quarantined
    nothing = "split unknown: '' in the image path is neither train nor test"
    reason = "key missing: split" if "column" in how else nothing
    assert (unknown.row, unknown.reason) == ("4", reason)


def test_json_lines_are_read_as_well(root):
    lines = [json.dumps(row(n)) for n in range(40)]
    lines[3:5] = ["{broken", ""]
    (root / "mine.jsonl").write_text("\n".join(lines), encoding="utf-8")
    samples, (broken,) = read_all(spec(), {"files": "mine.jsonl"}, root)
    assert len(samples) == 38
    assert (broken.row, broken.reason[:8]) == ("4", "not JSON")


@needs_realmat
@pytest.mark.parametrize(
    ("name", "labels", "each"), [("18", 3, 120), ("22", 4, 120), ("30", 2, 200)]
)
def test_real_files_are_read_whole(name, labels, each):
    samples, set_aside = read_all(spec(name), {"group_by": r"BloodImage_(\d+)"}, REALMAT)
    assert not set_aside
    counts = Counter(sample.label for sample in samples)
    assert sorted(counts.values()) == [each] * labels
    assert all(sample.options[sample.answer].casefold() == sample.label for sample in samples)
    assert all(bool(sample.group) == (name == "18") for sample in samples)
