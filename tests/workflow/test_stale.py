"""Nothing stale: after any edit, in any company, all that it decides is made anew, and no more.

The same after sequences of edits: `test_edited_in_turn.py`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from edits import EDITS, WITH, Edit, build, edited
from repository import snakemake
from workspace import REPO, Workspace

from matcg.config.backbone import Backbone
from matcg.models.identity import of_backbone, with_weights

DONE = "Nothing to be done"


@dataclass
class Planned:
    """The jobs of a dry run: rule and outputs of each."""

    jobs: set[tuple[str, tuple[str, ...]]]

    @classmethod
    def of(cls, mine: Workspace, *arguments: str) -> "Planned":
        """Ask Snakemake."""
        done = mine.snakemake("-n", *arguments)
        assert done.returncode == 0, done.stdout
        parts = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", done.stdout, re.MULTILINE)
        found = set()
        for rule, body in parts:
            output = re.search(r"^    output: (.*)$", body, re.MULTILINE)
            if output:
                found.add((rule, tuple(output[1].split(", "))))
        return cls(found)

    def missing_in(self, root: Path) -> set[tuple[str, tuple[str, ...]]]:
        """Return the jobs of which some output is not there."""
        return {(r, files) for r, files in self.jobs if not all((root / f).exists() for f in files)}


CONVERTED = {
    "name": "made",
    "image": {"size": 8},
    "prompt": "{question}",
    "recipes": {"full": {"learning_rate": 1.0, "epochs": 1, "batch_size": 1}},
}


@pytest.fixture(scope="module")
def ran(workspaces: Callable[[str], Workspace]) -> Workspace:
    """Return a workspace in which everything has run."""
    mine = build(workspaces, "finished")
    # In processes of their own, with other hash seeds than the plans that follow.
    done = snakemake(mine.root, "--cores", "2")
    assert done.returncode == 0, done.stdout
    return mine


def planned_case(mine: Workspace, edits: tuple[Edit, ...]) -> str:
    """Return what is wrong with the jobs that are planned after some edits, empty if nothing."""
    with edited(mine, edits):
        found, whole = Planned.of(mine).jobs, Planned.of(mine, "--forceall")
    expected = whole.missing_in(mine.root)
    if not expected:
        return "nothing is to be done"
    return f"too many {found - expected}, too few {expected - found}" if found != expected else ""


# Each edit alone, and in one company; neighbours, which are mostly of one step, in different ones.
COMPANIES = [name for name, edits in WITH.items() if edits]
IN_COMPANY = {
    name: [e for at, e in enumerate(EDITS) if COMPANIES[at % len(COMPANIES)] == name] or list(EDITS)
    for name in WITH
}


@pytest.mark.slow("two plans each for 29 edits, in which no company may hide another")
@pytest.mark.parametrize("company", WITH)
def test_jobs_are_those_of_an_empty_folder_less_what_is_there(ran: Workspace, company: str) -> None:
    edits = {name: (EDITS[name], *WITH[company]) for name in IN_COMPANY[company]}
    found = {name: planned_case(ran, each) for name, each in edits.items()}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert not Planned.of(ran).jobs


def test_experiments_in_turn_have_nothing_to_do_after_their_first_round(ran: Workspace) -> None:
    for turn in range(3):
        for names in ("toy", "more", "toy,more"):
            done = ran.quickly("--config", f"experiments=[{names}]")
            assert done.returncode == 0, done.stdout
            assert (DONE in done.stdout) == (turn > 0 or names == "toy"), (turn, names)
            plan = (ran.root / "results/plan/summary.md").resolve().parent.name
            assert plan.startswith(names.replace(",", "+") if names != "toy,more" else "more+toy")
            page = (ran.root / "results/report.html").resolve().name
            assert page == f"report-{plan}.html"
    # Nor is a dry run after another experiment full of advice on metadata.
    done = ran.snakemake("-n", "--config", "experiments=[toy]")
    assert DONE in done.stdout
    assert "metadata" not in done.stdout
    assert "rerun-triggers" not in done.stdout


def test_nothing_is_ancient_but_converted_weights_whose_identity_is_in_their_path() -> None:
    text = "".join(path.read_text() for path in sorted((REPO / "rules").glob("*.smk")))
    calls = re.findall(r"(?<!`)\bancient\((.*?)\)", text)
    assert calls == ['files("base_weights"'] * 3
    # What could hide behind it is in names: converted weights, script and version of both steps.
    first = Backbone(**CONVERTED, original={"weights": "org/a", "revision": "1"})
    other = Backbone(**CONVERTED, original={"weights": "org/a", "revision": "2"})
    assert of_backbone(first) != of_backbone(other)
    assert with_weights(first).weights != with_weights(other).weights


def test_a_folder_of_the_layout_without_digests_is_left_alone(
    workspaces: Callable[[str], Workspace],
) -> None:
    mine = workspaces("older")
    kept = {
        f"results/{path}": path
        for path in (
            "runs/toy/full/mix/seed0/provenance.json",
            "predictions/toy/toy/ct-brain-state.parquet",
            "plan/summary.md",
            "experiments/toy/headline.json",
            "report.html",
        )
    }
    for path, text in kept.items():
        mine.write(path, text)
    done = mine.quickly()
    assert done.returncode == 0, done.stdout
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("matcg: "))
    for word in ("predictions, runs, plan, report.html", "stays as it is", "made anew beside it"):
        assert word in line
    assert {path: (mine.root / path).read_text() for path in kept} == kept
    (page,) = mine.root.glob("results/report-toy-*.html")
    assert f"Report: results/{page.name}" in done.stdout
    unused = next(mine.root.glob("results/plans/toy-*/unused.tsv")).read_text()
    for path in ("runs/toy/full/mix/seed0", "predictions/toy/toy/ct-brain-state.parquet", "plan"):
        assert f"\tresults/{path}\t" in unused
