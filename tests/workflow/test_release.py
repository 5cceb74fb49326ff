"""The commands with which a user of the release begins: fetch it, look what is missing."""

import csv
import json
from pathlib import Path

import pytest
from fake_hub import NEW, FakeHub, serving
from repository import fresh_copy, snakemake

ROW = {
    "id": 1,
    "caption": "a",
    "image": "med-mat/01/a b, (1).png",
    "Question": "Which?",
    "Answer": "a",
    "Question-choice": "Which?\nA: a\nB: b",
    "Answer-choice": "A",
    "data-no": "1",
}
NAME = "Aggregated_Subsets/Subset--01-train.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fresh_copy(tmp_path_factory.mktemp("medmat"))


def test_the_release_is_fetched_and_its_missing_images_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {NAME: json.dumps([ROW]).encode(), "README.md": b"not asked for"}
    with serving(FakeHub({NEW: files}, [NEW])) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
        done = snakemake(folder, "fetch_medmat", "--cores", "1")
    assert done.returncode == 0, done.stdout
    assert f"{folder}/data/medmat: 1 files" in done.stdout
    fetched = [p for p in (folder / "data/medmat").rglob("*.*") if ".cache" not in p.parts]
    assert sorted(p.name for p in fetched) == ["RELEASE.json", Path(NAME).name]
    logs = [done.stdout, (folder / "logs/fetch_medmat.log").read_text()]
    assert not any("verysecret" in text for text in logs)

    done = snakemake(folder, "check_images", "--cores", "1")
    assert done.returncode == 0, done.stdout
    assert "dataset 1 Intel and MobileODT Cervical Screening: 1 of 1 images missing" in done.stdout
    assert "Of 36 of 53 subsets the questions are missing" in done.stdout
    assert "subset 38: no file det-seg/88/masks/{image}.* in" in done.stdout
    with (folder / "results/check_images.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert len({row["subset"] for row in rows}) == 53
    assert all(row["link"].startswith("http") for row in rows)


def test_without_a_network_one_line_says_that_a_folder_will_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    done = snakemake(folder, "fetch_medmat", "--cores", "1")
    assert done.returncode == 1
    assert "a folder is enough" in done.stdout
    assert "Traceback" not in done.stdout
