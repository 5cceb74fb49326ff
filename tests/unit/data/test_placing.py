"""Pictures are linked where one file fits, listed where several do, and nothing else is touched."""

import csv
import json
import os
import tempfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from data_makers import asked, picture, row, spec
from matcg.data.homes import Downloads
from matcg.data.image_folder import Folder
from matcg.data.placed_sheet import draw_placed
from matcg.data.placing import place_images
from matcg.errors import ConfigError, DataError

LINKS = {
    "5": ("Cats", "https://e.org/5"),
    "9": ("Eels", "https://e.org/9"),
    "6": ("", "https://e.org/9"),
    "7": ("", "https://e.org/9"),
    "8": ("", "https://e.org/9"),
}

FILES = {"7": ("https://e.org/7.zip",), "8": ("https://e.org/7.zip",)}


class Place:
    """A release without pictures, and a folder of downloads in it."""

    def __init__(self, root: Path, names: list[str], datasets: list[str] | None = None) -> None:
        datasets = datasets or ["5"] * len(names)
        rows = [
            row(n, image=name, **{"data-no": dataset})
            for n, (name, dataset) in enumerate(zip(names, datasets, strict=True))
        ]
        self.root = root
        (root / "Aggregated_Subsets").mkdir(parents=True)
        (root / "Aggregated_Subsets/Subset--30-train.json").write_text(json.dumps(rows))
        self.downloads = self.root / "downloads"
        self.downloads.mkdir()
        self.out, self.sheet = root.parent / "place.tsv", root.parent / "place.png"

    def put(self, path: str, number: int = 0) -> Path:
        file = self.downloads / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(number))
        return file

    def run(self, **changes) -> dict[str, tuple[str, str, str]]:
        """Place, and return state, file found and reason by picture."""
        self.said: list[str] = []
        given = Downloads(self.root, changes.get("found", self.downloads), LINKS, FILES)
        place_images([asked(spec())], {"tiny": given}, self.out, self.sheet, self.said.append)
        with self.out.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        return {each["image"]: (each["state"], each["found"], each["reason"]) for each in rows}


@pytest.fixture
def place(tmp_path):
    return lambda *names, datasets=None: Place(tmp_path / "in", list(names), datasets)


def test_a_picture_is_linked_by_the_end_of_its_path(place):
    here = place(
        "med-mat/a/train/1.png", "med-mat/a/test/1.png", "med-mat/b c/only.png", "x/no.png"
    )
    files = [
        here.put("Set/train/1.png", 1),
        here.put("Set/test/1.png", 2),
        here.put("d/only.png", 3),
    ]
    there = {file: file.stat().st_mtime_ns for file in here.downloads.rglob("*.png")}
    assert here.run() == {
        "med-mat/a/train/1.png": ("linked", "Set/train/1.png", "by the last 2 parts of its path"),
        "med-mat/a/test/1.png": ("linked", "Set/test/1.png", "by the last 2 parts of its path"),
        "med-mat/b c/only.png": ("linked", "d/only.png", "by its name"),
        "x/no.png": ("missing", "", "no file is called so"),
    }
    folder = Folder(here.root)
    for name, file in zip(("a/train/1.png", "a/test/1.png", "b c/only.png"), files, strict=True):
        assert folder.reason(f"med-mat/{name}") == ""
        assert (here.root / "med-mat" / name).samefile(file)
        assert not (here.root / "med-mat" / name).is_symlink()
    assert {file: file.stat().st_mtime_ns for file in there} == there
    assert here.said[0] == "tiny dataset 5 Cats: 3 linked, 1 missing. Link: https://e.org/5"
    assert Image.open(here.sheet).size == (1000, 240)


def test_a_second_call_finds_the_same(place):
    here = place("a/1.png", "b/1.png")
    here.put("Set/a/1.png", 1)
    first = here.run()
    assert first["a/1.png"][0] == "linked"
    # The file that is left is the other picture's, now as before.
    assert first["b/1.png"] == ("missing", "", "the file of its name is another picture's")
    assert here.run() == first
    assert not (here.root / "b").exists()


def test_what_fits_twice_is_listed_and_never_linked(place):
    here = place("a/1.png", "b/2.png", "c/2.png", "d/3.png")
    here.put("one/1.png", 1), here.put("two/1.png", 2), here.put("any/2.png", 3)
    here.put("x/3.png", 4), here.put("y/z/3.png", 4)
    found = here.run()
    assert found["a/1.png"][::2] == (
        "ambiguous",
        "2 files fit, which differ: one/1.png, two/1.png",
    )
    for name in ("b/2.png", "c/2.png"):
        assert found[name] == ("ambiguous", "", "one file fits 2 pictures or source datasets")
    # Equal byte for byte, so that either is right.
    assert found["d/3.png"] == ("linked", "x/3.png", "by its name")
    assert sorted(each.name for each in here.root.iterdir()) == [
        "Aggregated_Subsets",
        "d",
        "downloads",
    ]


def test_source_datasets_do_not_share_a_file_unless_they_share_a_link(place):
    here = place(
        "five/1.png", "nine/1.png", "nine/2.png", "six/2.png", datasets=["5", "9", "9", "6"]
    )
    here.put("Set/1.png", 1), here.put("Set/2.png", 2)
    found = here.run()
    assert found["five/1.png"][0] == found["nine/1.png"][0] == "ambiguous"
    assert found["nine/2.png"][0] == found["six/2.png"][0] == "linked"
    # With a folder of its own only that is looked in, by its number or that of a twin.
    here.put("5/Set/1.png", 1), here.put("9/Set/1.png", 3)
    found = here.run()
    assert found["five/1.png"][:2] == ("linked", "5/Set/1.png")
    assert found["nine/1.png"][:2] == ("linked", "9/Set/1.png")
    # Linked before, to a file outside of that folder: it stays.
    assert "six/2.png" not in found
    assert (here.root / "six/2.png").samefile(here.downloads / "Set/2.png")


def test_links_to_files_say_more_of_an_origin_than_the_link_of_a_page(place):
    here = place("seven/1.png", "eight/2.png", "nine/3.png", datasets=["7", "8", "9"])
    here.put("7/1.png", 1), here.put("7/2.png", 2), here.put("loose/3.png", 3)
    assert {name: each[:2] for name, each in here.run().items()} == {
        "seven/1.png": ("linked", "7/1.png"),
        "eight/2.png": ("linked", "7/2.png"),
        "nine/3.png": ("linked", "loose/3.png"),
    }


def test_what_a_failed_fetch_left_is_no_folder_of_a_source_dataset(place):
    here = place("a/1.png")
    here.put("loose/1.png", 1), here.put("5/.cache/matcg/lock"), here.put("5/FETCHED.json")
    here.put("5/x.zip.part")
    assert here.run()["a/1.png"][:2] == ("linked", "loose/1.png")


def test_archives_are_unpacked_first_and_what_is_refused_is_said(place):
    here = place("a/1.png", "a/2.png")
    with zipfile.ZipFile(here.downloads / "good.zip", "w") as file:
        file.writestr("a/1.png", picture(1))
    with zipfile.ZipFile(here.downloads / "evil.zip", "w") as file:
        file.writestr("../a/2.png", picture(2))
    found = here.run()
    assert found["a/1.png"][:2] == ("linked", "good.zip.unpacked/a/1.png")
    assert found["a/2.png"][0] == "missing"
    assert any(line.startswith("1 archive refused, as said above: ") for line in here.said)


def test_nothing_that_is_there_is_replaced_and_nothing_leads_out(place, tmp_path):
    here = place("a/1.png", "b/2.png", "../3.png", "/4.png", "c/5.png")
    for name in "12345":
        here.put(f"Set/{name}.png", int(name))
    (here.root / "a").mkdir()
    (here.root / "a/1.png").write_bytes(b"mine")
    (tmp_path / "elsewhere").mkdir()
    (here.root / "b").symlink_to(tmp_path / "elsewhere")
    (here.root / "c").mkdir()
    (here.root / "c/5.png").symlink_to("nowhere")
    found = here.run()
    assert "a/1.png" not in found
    assert (here.root / "a/1.png").read_bytes() == b"mine"
    assert {name: each[0] for name, each in found.items()} == dict.fromkeys(
        ("b/2.png", "../3.png", "/4.png", "c/5.png"), "refused"
    )
    assert "a link leads out" in found["b/2.png"][2]
    assert "File exists" in found["c/5.png"][2]
    assert not list((tmp_path / "elsewhere").iterdir())
    assert not (tmp_path / "3.png").exists()


def test_links_among_the_downloads_are_not_followed(place, tmp_path):
    here = place("a/1.png", "a/2.png")
    (tmp_path / "1.png").write_bytes(picture(1))
    (here.downloads / "1.png").symlink_to(tmp_path / "1.png")
    (here.downloads / "more").symlink_to(tmp_path)
    (tmp_path / "2.png").write_bytes(picture(1))
    assert {each[0] for each in here.run().values()} == {"missing"}


def test_downloads_elsewhere_on_the_disk_are_linked_too(place, tmp_path):
    here = place("a/1.png")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/1.png").write_bytes(picture(1))
    assert here.run(found=tmp_path / "other")["a/1.png"][0] == "linked"
    assert Folder(here.root).reason("a/1.png") == ""


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no second disk")
def test_another_disk_is_said_to_be_the_reason(place):
    here = place("a/1.png")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if Path(other).stat().st_dev == here.root.stat().st_dev:
            pytest.skip("no second disk")
        (Path(other) / "1.png").write_bytes(picture(1))
        state, _, reason = here.run(found=Path(other))["a/1.png"]
    assert state == "refused"
    assert f"the downloads must lie in {here.root}" in reason
    assert not (here.root / "a/1.png").exists()


def test_folders_that_cannot_be_meant_are_errors(place):
    here = place("a/1.png")
    for wrong in (here.root, here.root.parent):
        with pytest.raises(ConfigError, match="is or holds the data folder"):
            here.run(found=wrong)
    with pytest.raises(DataError, match="no such folder; put what you downloaded there"):
        here.run(found=here.root / "nowhere")


def test_names_that_hospitals_give_stay_out_of_the_table(place):
    here = place("scans/MUELLER^ANNA", "scans/b/1.2.840.1.5")
    head = bytes(128) + b"DICM" + bytes(100)
    for name in ("MUELLER/ANNA/MUELLER^ANNA", "MUELLER/ANNA/1.2.840.1.5"):
        here.put(name).write_bytes(head)
    found = here.run()
    assert {each[0] for each in found.values()} == {"linked"}
    text = here.out.read_text() + "\n".join(here.said)
    assert "MUELLER" not in text
    assert "1.2.840" not in text
    assert not here.sheet.exists()


def test_a_picture_that_cannot_be_read_leaves_its_square_on_the_sheet_empty(tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("RGB", (40, 20), "red").save(good)
    bad.write_bytes(b"none")
    draw_placed([(good, "a", "b"), (bad, "c" * 99, "d")] * 3, tmp_path / "out/sheet.png")
    sheet = Image.open(tmp_path / "out/sheet.png")
    assert sheet.size == (1000, 480)
    assert sheet.getpixel((100, 50)) == (255, 0, 0)
    assert sheet.getpixel((100, 150)) == sheet.getpixel((300, 50)) == (255, 255, 255)
