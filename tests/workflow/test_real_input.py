"""Files that nobody here wrote, some of them broken, through the real workflow to its report."""

import csv
import html
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from realmat import REALMAT, needs_realmat
from repository import fresh_copy
from workspace import Workspace, real

pytestmark = [pytest.mark.slow("a whole run of two experiments on real images"), needs_realmat]
TABLE = "Aggregated_Subsets/Subset--30-train.json"
SOURCE = "Aggregated_Subsets/Subset--22-train.json"
CELLS = "Aggregated_Subsets/Subset--18-train.json"
LEAKS = 40  # images of the target that a source also has, from this row on
FIRST = 200
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


def leak(root: Path, number: int, from_: dict[str, Any], to: dict[str, Any]) -> None:
    """Put the target's picture into a source: as it is, or larger and in another format."""
    with Image.open(image(root, from_)) as picture:
        if number % 2:
            larger = picture.convert("L").resize((200, 200), Image.Resampling.BICUBIC)
            larger.save(image(root, to), "JPEG", quality=90)
        else:
            picture.save(image(root, to), "PNG")


# The same comparison with leaks left in: CG trains on some of the target's test images.
LEAKY = """
name: leaky
catalog: tests/configs/realmat/catalog.yaml
targets: ["30"]
rules: [tests/configs/realmat/same-task.yaml]
samples: 240
arms: {baseline: {}, cg: {}, control: {rule: unrelated}}
general: {extra: 20}
leaks: report
backbones: [tiny-llava]
"""


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
    others: Rows = json.loads((data / SOURCE).read_text(encoding="utf-8"))
    for number in range(FIRST, FIRST + LEAKS):
        leak(data, number, rows[number], others[number])
    (data / TABLE).write_text(json.dumps(rows), encoding="utf-8")
    cells = json.loads((data / CELLS).read_text(encoding="utf-8"))[:30]
    (data / "extra.jsonl").write_text("\n".join(map(json.dumps, cells)), encoding="utf-8")
    (folder / "leaky.yaml").write_text(LEAKY)
    (folder / "here.yaml").write_text(
        "data: {realmat: realmat}\n"
        "experiments: [tests/configs/realmat/experiment.yaml, leaky.yaml]\n"
    )
    Workspace(folder).without_vllm()  # is given the same pictures, and starts once an experiment
    done = real(folder, "--configfile", "tests/configs/realmat.yaml", "here.yaml")
    assert done.returncode == 0, done.stdout
    assert "CG " in done.stdout
    return folder


def read(path: Path, delimiter: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter=delimiter))


def rows_of(ran: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of a table of the data of both experiments, each once."""
    folders = [ran / "results/experiments" / each / "data" for each in ("realmat", "leaky")]
    rows = [row for folder in folders for row in read(folder / f"{name}.tsv", "\t")]
    return [row for at, row in enumerate(rows) if row not in rows[:at]]


def test_every_bad_row_is_listed_with_file_row_and_reason(ran: Path) -> None:
    found = rows_of(ran, "quarantine")
    found = [row for row in found if row["subset"] == "30"]
    assert [(row["file"], row["row"]) for row in found] == [
        (TABLE, str(number)) for number in range(1, len(DAMAGES) + 1)
    ]
    for row, (reason, _) in zip(found, DAMAGES, strict=True):
        assert row["reason"].startswith(reason)
        assert row["subset"] == "30"


def test_every_row_is_either_used_or_counted_as_set_aside(ran: Path) -> None:
    rows = {row["subset"]: row for row in rows_of(ran, "summary")}
    assert rows.keys() == {"18", "22", "30", "extra"}
    assert (rows["extra"]["train"], rows["extra"]["test"]) == ("30", "0")
    for name, row in rows.items():
        if name == "extra":
            continue
        table = json.loads((REALMAT / TABLE.replace("30", name)).read_text(encoding="utf-8"))
        assert int(row["rows"]) == len(table)
        assert int(row["usable"]) + int(row["quarantined"]) == int(row["rows"])
        assert name != "30" or int(row["quarantined"]) == len(DAMAGES)


def test_the_report_shows_them_and_nothing_of_them_is_markup(ran: Path) -> None:
    page = (ran / "results/report.html").read_text(encoding="utf-8")
    for row in rows_of(ran, "quarantine"):
        assert html.escape(row["reason"], quote=False) in page.replace("&#39;", "'")
    assert "<b>cow</b>" not in page


def test_leaks_are_left_out_where_they_are_not_wanted(ran: Path) -> None:
    leaks = rows_of(ran, "leaks")
    assert {(row["target"], row["source"]) for row in leaks} == {("30", "22")}
    # About a quarter of the 40 are tested, and four in five of the source's are trained on.
    assert len(leaks) >= 3
    assert {row["exact"] for row in leaks} <= {"True", "False"}
    uses = rows_of(ran, "audit")
    dropping = [row for row in uses if row["policy"] == "drop" and row["mix"].startswith("22.240")]
    assert dropping
    for row in dropping:
        assert int(row["left_out"]) == int(row["in_sources"]) == len({r["train"] for r in leaks})
    assert all(row["trained_on"] == "0" for row in uses if row["policy"] == "drop")
    # The images and the options of 18, which has none of them, are nobody's leak.
    assert not [row for row in uses if row["mix"].startswith("18.") and row["in_sources"] != "0"]


def test_leaks_that_are_reported_are_also_taken_out_of_tables_of_their_own(ran: Path) -> None:
    leaked = rows_of(ran, "leaked")
    assert leaked
    folder = ran / "results/experiments/leaky"
    headline = json.loads((folder / "headline.json").read_text(encoding="utf-8"))
    assert headline["without_leaks"]["questions"] == len({row["sample_id"] for row in leaked})
    all_, clean = (
        read(folder / f"tables/accuracy{ending}.csv", ",") for ending in ("", "_without_leaks")
    )
    for one, other in zip(all_, clean, strict=True):
        assert int(one["n"]) - int(other["n"]) == headline["without_leaks"]["questions"]
    other = json.loads((ran / "results/experiments/realmat/headline.json").read_text("utf-8"))
    assert "without_leaks" not in other
    page = (ran / "results/report.html").read_text(encoding="utf-8")
    assert "Without leaked questions" in page
    assert page.count('alt="training picture"') >= 1


def test_a_general_set_is_added_to_every_mix_of_its_experiment(ran: Path) -> None:
    parts = read(ran / "results/plan/mixes.tsv", "\t")
    leaky = {row["mix"] for row in parts if "leaky" in row["mix"]}
    assert len(leaky) == 2
    assert {row["mix"] for row in parts if row["subset"] == "extra"} == leaky
    assert {row["n"] for row in parts if row["subset"] == "extra"} == {"20"}


def test_every_arm_has_its_accuracy(ran: Path) -> None:
    rows = read(ran / "results/experiments/realmat/tables/accuracy.csv", ",")
    assert {row["arm"] for row in rows} == {"baseline", "cg", "control", "floor", "ceiling"}
    for row in rows:
        assert 0 <= int(row["correct"]) <= int(row["n"])
        assert int(row["n"]) > 50
