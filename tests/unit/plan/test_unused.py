"""What lies in the results and in no plan: named with its size, and left where it is."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from matcg import tsv
from matcg.plan import unused
from matcg.plan.enumerate import make_plan
from matcg.plan.groups import find_groups
from matcg.plan.places import Places, needed
from matcg.plan.tables import write_summary
from planned import project

RESULTS = Path("results")
FEW = {"rules": ["pair"], "arms": {"baseline": {}, "cg": {}}}
BOTH = (FEW, {**FEW, "name": "more", "targets": ["mri-lung-level"]})
FOLDERS = ("data", "run")


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def used(*experiments: dict[str, object]) -> list[tuple[str, str]]:
    """Return kind and path of all that a plan needs."""
    given = project(*experiments)
    plan = make_plan(given)
    return needed(plan, Places.of(given), find_groups(plan, 4))


def make(found: Iterable[tuple[str, str]], size: int = 1000) -> None:
    """Write something of a size in each place."""
    for kind, path in found:
        file = Path(path, "file") if kind in FOLDERS else Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * size)


def keep(plan: str, found: Iterable[tuple[str, str]]) -> None:
    """Let a plan be the last one of its selection of experiments."""
    folder = RESULTS / "plans" / f"{plan}-00000001"
    folder.mkdir(parents=True)
    (folder / unused.USED).write_text(tsv.table(("kind", "path"), found))
    (RESULTS / "plans" / plan).symlink_to(folder.name)


def test_what_no_plan_needs_is_listed_with_its_size_and_left_where_it_is() -> None:
    make(used(*BOTH))
    assert unused.find_unused([path for _, path in used(*BOTH)], RESULTS) == []
    one = used(BOTH[0])
    gone = set(used(*BOTH)) - set(one)
    found = unused.find_unused([path for _, path in one], RESULTS)
    assert {kind for kind, _, _ in found} == {"data", "lengths", "mix", "run", "answers", "group"}
    for kind in ("data", "lengths", "mix", "run", "group"):
        assert {path for each, path, _ in found if each == kind} == {
            path for each, path in gone if each == kind
        }
    assert all(size == pytest.approx(0.001) for _, _, size in found)
    assert all(Path(path).exists() for _, path, _ in found)
    text = write_summary("# Plan\n", one, RESULTS / "plans/p")
    runs = sum(kind == "run" for kind, _ in gone)
    assert f"run: {runs} ({runs / 1000:.1f} MB), " in text
    assert (RESULTS / "plans/p/summary.md").read_text() == text
    assert text.startswith("# Plan\n\n## Unused\n")
    assert tsv.read_tsv(RESULTS / "plans/p/unused.tsv") == [
        {"kind": kind, "path": path, "mb": f"{size:.3f}"} for kind, path, size in found
    ]
    assert [(row["kind"], row["path"]) for row in tsv.read_tsv(RESULTS / "plans/p/used.tsv")] == one


def test_answers_of_a_run_are_listed_together() -> None:
    run = RESULTS / "answers/tiny-00000001/full-00000001/m-00000001/seed0"
    files = [("answers", f"{run}/world/t{n}-00000001.parquet") for n in range(3)]
    make(files, 2000)
    assert unused.find_unused([files[0][1]], RESULTS) == [("answers", str(run), 0.004)]
    assert unused.find_unused([path for _, path in files], RESULTS) == []


def test_the_baselines_answers_are_listed_too() -> None:
    make([("answers", "results/answers/tiny-00000001/baseline/world/t-00000001.parquet")])
    assert unused.find_unused([], RESULTS) == [
        ("answers", "results/answers/tiny-00000001/baseline", 0.001)
    ]


def test_another_selections_last_plan_keeps_what_it_needs() -> None:
    make(used(*BOTH))
    keep("toy+more", used(*BOTH))
    keep("more", used(BOTH[1]))
    one = [path for _, path in used(BOTH[0])]
    plans = [f"results/plans/{name}-00000001" for name in ("toy+more", "more")]
    assert unused.find_unused([*one, *plans], RESULTS) == []
    (RESULTS / "plans/toy+more").unlink()
    (RESULTS / "plans/more").unlink()
    found = {path for _, path, _ in unused.find_unused([*one, *plans], RESULTS)}
    assert {path for _, path in used(BOTH[1]) if "runs" in path} <= found


def test_the_plan_of_before_of_the_same_selection_keeps_nothing() -> None:
    """Its link is set to the new plan only when that is made."""
    make(used(*BOTH))
    keep("toy+more", used(*BOTH))
    one = used(BOTH[0])
    write_summary("", one, RESULTS / "plans/toy+more-00000002")
    listed = {row["path"] for row in tsv.read_tsv(RESULTS / "plans/toy+more-00000002/unused.tsv")}
    gone = {path for kind, path in set(used(*BOTH)) - set(one) if kind != "answers"}
    assert gone <= listed
    assert not {path for _, path in one} & listed


def test_plans_reports_and_experiments_of_before_are_listed_and_links_are_not() -> None:
    keep("toy", [("run", "x")])
    (RESULTS / "report-toy-00000001.html").write_text("x" * 5000)
    (RESULTS / "report.html").symlink_to("report-toy-00000001.html")
    (RESULTS / "plan").symlink_to("plans/toy-00000001")
    make([("experiment", "results/experiments/toy-00000001/headline.json")])
    found = unused.find_unused([], RESULTS)
    assert [(kind, path) for kind, path, _ in found] == [
        ("experiment", "results/experiments/toy-00000001"),
        ("plan", "results/plans/toy-00000001"),
        ("report", "results/report-toy-00000001.html"),
    ]
    assert found[-1][2] == 0.005


def test_a_file_that_two_runs_share_counts_in_each() -> None:
    """Weights that were taken over are links to the same file; a link of a name is none."""
    first, second = (f"results/runs/tiny-00000001/full-00000001/m-{n * 8}/seed0" for n in "12")
    make([("run", first)])
    Path(second).mkdir(parents=True)
    Path(second, "file").hardlink_to(Path(first, "file"))
    assert unused.find_unused([first], RESULTS) == [("run", second, 0.001)]


# --- The layout without digests ------------------------------------------------------------------

OLD = [
    ("run", "results/runs/tiny/full/m-s0-0123abcd/seed0"),
    ("answers", "results/answers/tiny/runs/full/m-s0-0123abcd/seed0/world/t.parquet"),
    ("group", "results/answers/tiny/full+all.parquet"),
    ("predictions", "results/predictions/tiny/world/t.parquet"),
    ("data", "results/data/world/t"),
    ("data", "results/data/leaks.tsv"),
    ("experiment", "results/experiments/toy"),
    ("plan", "results/plan"),
    ("report", "results/report.html"),
]


def test_what_is_of_the_older_layout_is_named_and_listed() -> None:
    make([(kind, path) for kind, path in OLD if path.endswith((".parquet", ".tsv", ".html"))])
    make([("run", path) for _, path in OLD if "." not in Path(path).name])
    assert unused.older_layout(RESULTS) == ["predictions", "runs", "plan", "report.html"]
    found = {(kind, path) for kind, path, _ in unused.find_unused([], RESULTS)}
    answers = "results/answers/tiny/runs/full/m-s0-0123abcd/seed0"
    assert found == {*(each for each in OLD if each[0] != "answers"), ("answers", answers)}


def test_results_of_this_layout_are_no_older_ones() -> None:
    assert unused.older_layout(RESULTS) == []
    make(used(BOTH[0]))
    keep("toy", [])
    (RESULTS / "plan").symlink_to("plans/toy-00000001")
    assert unused.older_layout(RESULTS) == []
    (RESULTS / "predictions").mkdir()
    assert unused.older_layout(RESULTS) == ["predictions"], "the link is no older plan"
