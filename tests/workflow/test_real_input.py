"""Files that nobody here wrote, some of them broken, through the real workflow to its report."""

import csv
import html
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from realmat import REALMAT, needs_realmat
from repository import fresh_copy, snakemake

pytest.importorskip("vllm")

pytestmark = [pytest.mark.slow, needs_realmat]
TABLE = "Aggregated_Subsets/Subset--30-train.json"
Rows = list[dict[str, Any]]


def image(root: Path, row: dict[str, Any]) -> Path:
    return root / str(row["image"])


def truncate(root: Path, row: dict[str, Any]) -> None:
    image(root, row).write_bytes(image(root, row).read_bytes()[:60])


# What is done to row 1, 2, ... of a real table, and the beginning of the reason that is given.
DAMAGES: list[tuple[str, Callable[[Path, dict[str, Any]], object]]] = [
    ("image missing", lambda root, row: image(root, row).unlink()),
    ("image damaged", truncate),
    ("not an image", lambda root, row: image(root, row).write_text("<html>404</html>")),
    ("image outside its data folder", lambda _, row: row.update(image="../../etc/hostname")),
    ("no answer", lambda _, row: row.pop("Answer")),
    ("answer not among its options", lambda _, row: row.update(Answer="<b>cow</b>")),
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which everything has run on real images with some damage done."""
    folder = fresh_copy(tmp_path_factory.mktemp("real"))
    data = folder / "realmat"
    shutil.copytree(REALMAT, data)
    # The extracts are handed out without write bits.
    for path in [data, *data.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    rows: Rows = json.loads((data / TABLE).read_text(encoding="utf-8"))
    for row, (_, damage) in zip(rows, DAMAGES, strict=False):
        damage(data, row)
    (data / TABLE).write_text(json.dumps(rows), encoding="utf-8")
    (folder / "here.yaml").write_text("data: {realmat: realmat}\n")
    done = snakemake(
        folder, "--cores", "2", "--configfile", "tests/configs/realmat.yaml", "here.yaml"
    )
    assert done.returncode == 0, done.stdout
    assert "CG " in done.stdout
    return folder


def read(path: Path, delimiter: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter=delimiter))


def test_every_bad_row_is_listed_with_file_row_and_reason(ran: Path) -> None:
    found = read(ran / "results/data/quarantine.tsv", "\t")
    assert [(row["file"], row["row"]) for row in found] == [
        (TABLE, str(number)) for number in range(1, len(DAMAGES) + 1)
    ]
    for row, (reason, _) in zip(found, DAMAGES, strict=True):
        assert row["reason"].startswith(reason)
        assert row["subset"] == "30"


def test_every_row_is_either_used_or_counted_as_set_aside(ran: Path) -> None:
    rows = {row["subset"]: row for row in read(ran / "results/data/summary.tsv", "\t")}
    assert rows.keys() == {"18", "22", "30"}
    for name, row in rows.items():
        table = json.loads((REALMAT / TABLE.replace("30", name)).read_text(encoding="utf-8"))
        assert int(row["rows"]) == len(table)
        assert int(row["usable"]) + int(row["quarantined"]) == int(row["rows"])
        assert int(row["quarantined"]) == (len(DAMAGES) if name == "30" else 0)


def test_the_report_shows_them_and_nothing_of_them_is_markup(ran: Path) -> None:
    page = (ran / "results/report.html").read_text(encoding="utf-8")
    for row in read(ran / "results/data/quarantine.tsv", "\t"):
        assert html.escape(row["reason"], quote=False) in page.replace("&#39;", "'")
    assert "<b>cow</b>" not in page


def test_every_arm_has_its_accuracy(ran: Path) -> None:
    rows = read(ran / "results/experiments/realmat/tables/accuracy.csv", ",")
    assert {row["arm"] for row in rows} == {"baseline", "cg", "control", "floor", "ceiling"}
    for row in rows:
        assert 0 <= int(row["correct"]) <= int(row["n"])
        assert int(row["n"]) > 50
