"""The commands with which a user of the release begins: fetch it, look what is missing."""

import csv
import json
import random
import zipfile
from io import BytesIO
from pathlib import Path

import fake_hosts
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_hub import NEW, REPOSITORY, FakeHub, serving
from PIL import Image
from repository import fresh_copy, snakemake

from matcg.config.library import load
from matcg.data.questions import read

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
HUBBED = f"""\
name: hubbed
reader: questions
release: {{repository: {REPOSITORY}, revision: {NEW}, files: [data/*.parquet]}}
options:
  files: data/*.parquet
  columns: {{image: image, question: question, options: options, answer: answer}}
  answer: index
elements: {{modality: kind}}
"""
NAME = "Aggregated_Subsets/Subset--01-train.json"


def picture(number: int) -> bytes:
    """Return a small picture file, unlike that of any other number."""
    data, file = random.Random(number).randbytes(16 * 16 * 3), BytesIO()
    Image.frombytes("RGB", (16, 16), data).save(file, "PNG")
    return file.getvalue()


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


def test_images_are_fetched_and_linked_to_where_the_questions_name_them(folder: Path) -> None:
    """Goes on in the folder of the test before."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("Train/01/a b, (1).png", picture(1))
    with fake_hosts.serving(fake_hosts.FakeHosts()) as host:
        host.put("/archive.zip", archive.getvalue())
        links = folder / "catalogs/medmat-datasets.csv"
        name = "1,Intel and MobileODT Cervical Screening"
        links.write_text(f"dataset,name,url,files\n{name},{host.endpoint}/archive.zip,\n")
        done = snakemake(folder, "fetch_images", "--cores", "1")
    assert done.returncode == 0, done.stdout
    assert f"1 file, 0.0 MB, licence: unverified; {host.endpoint}/archive.zip" in done.stdout
    assert "1 fetched: results/fetch_images.tsv" in done.stdout
    done = snakemake(folder, "place_images", "--cores", "1")
    assert done.returncode == 0, done.stdout
    assert "medmat dataset 1 Intel and MobileODT Cervical Screening: 1 linked." in done.stdout
    rows = (folder / "results/place_images.tsv").read_text().splitlines()
    (state, found), place = rows[1].split("\t")[5:7], folder / "data/medmat" / str(ROW["image"])
    assert (state, found) == ("linked", "1/archive.zip.unpacked/Train/01/a b, (1).png")
    assert place.read_bytes() == picture(1)
    assert Image.open(folder / "results/place_images.png").format == "PNG"


def test_a_data_set_of_the_hub_becomes_a_catalog(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {
            "image": {"bytes": picture(n), "path": f"{n}.png"},
            "question": "Which?",
            "options": ["cat", "dog"],
            "answer": n % 2,
            "kind": ("X-ray", "CT")[n // 10],
        }
        for n in range(20)
    ]
    table = BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), table)
    (folder / "catalogs/hubbed.yaml").write_text(HUBBED)
    with serving(FakeHub({NEW: {"data/train-0.parquet": table.getvalue()}}, [NEW])) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        done = snakemake(folder, "fetch_tables", "--cores", "1", "--config", "catalog=hubbed")
    assert f"{folder}/data/hubbed: 1 files" in done.stdout, done.stdout
    done = snakemake(folder, "catalog", "--cores", "1", "--config", "catalog=hubbed")
    assert "2 subsets of 20 of 20 rows; 0 set aside" in done.stdout, done.stdout
    found = load("catalog", folder / "catalogs/hubbed-found.yaml")
    assert [(each.id, each.rows) for each in found.subsets] == [("ct", 10), ("x-ray", 10)]
    ct = found.subsets[0]
    source = read(ct, {**found.options, **ct.options}, folder / "data/hubbed")
    assert sorted(source.load(at).image for at in range(10)) == sorted(map(picture, range(10, 20)))

    done = snakemake(folder, "fetch_tables", "--cores", "1", "--config", "catalog=crossmed")
    assert done.returncode == 1
    assert "catalogs/crossmed.yaml: release: says of no data set" in done.stdout


def test_without_a_network_one_line_says_that_a_folder_will_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    done = snakemake(folder, "fetch_medmat", "--cores", "1")
    assert done.returncode == 1
    assert "a folder is enough" in done.stdout
    assert "Traceback" not in done.stdout


def test_slake_is_fetched_and_looked_at_as_its_page_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = folder / "catalogs/slake.yaml"
    release = load("catalog", shipped).release
    shipped.write_text(shipped.read_text().replace(release.repository, REPOSITORY))
    place = {"modality": "X-Ray", "location": "Lung", "content_type": "Abnormality"}
    rows = [
        {"img_name": f"xmlab{n}/source.jpg", "question": "Is it healthy?", "q_lang": "en"}
        | {
            **place,
            "answer": ("Yes", "No", "Mass")[n % 3],
            "answer_type": ("CLOSED", "OPEN")[n // 6],
        }
        for n in range(8)
    ]
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for row in rows:
            file.writestr(f"imgs/{row['img_name']}", picture(1))
    parts = {"train.json": rows[2:], "validation.json": rows[:1], "test.json": rows[1:2]}
    files = {name: json.dumps(part).encode() for name, part in parts.items()}
    tree = {release.revision: {**files, "imgs.zip": archive.getvalue(), "KG.zip": b"not asked"}}
    with serving(FakeHub(tree, [release.revision])) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        done = snakemake(folder, "fetch_tables", "--cores", "1", "--config", "catalog=slake")
    assert f"{folder}/data/slake: 4 files" in done.stdout, done.stdout
    with zipfile.ZipFile(folder / "data/slake/imgs.zip") as file:
        file.extractall(folder / "data/slake")
    done = snakemake(folder, "catalog", "--cores", "1", "--config", "catalog=slake")
    assert "1 subset of 6 of 8 rows; 0 set aside" in done.stdout, done.stdout
    assert "2 rows left out: rare answers, by option `frequent`" in done.stdout
    (found,) = load("catalog", folder / "catalogs/slake-found.yaml").subsets
    data = read(found, load("catalog", shipped).options | found.options, folder / "data/slake")
    assert data.load(0).image == picture(1)
