"""Nothing stale: after any edit, in any company, the tables are those of an empty folder."""

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from workspace import REPO, Workspace

from matcg.config.backbone import Backbone
from matcg.models.identity import of_backbone, with_weights

DONE = "Nothing to be done"
Edit = tuple[str, str, str]

EXPERIMENT, BACKBONE, CATALOG = "experiments/toy.yaml", "backbones/toy.yaml", "catalogs/toy.yaml"
VERSIONS, RECIPE = "workflow/matcg/versions.py", "{learning_rate: 1.0e-3, epochs: 1, batch_size: 8}"


CONVERTED = {
    "name": "made",
    "image": {"size": 8},
    "prompt": "{question}",
    "recipes": {"full": {"learning_rate": 1.0, "epochs": 1, "batch_size": 1}},
}


def version(step: str) -> Edit:
    """Return the edit that raises the version of a step."""
    number = re.search(rf"^{step} = (\d+)", (REPO / VERSIONS).read_text(), re.MULTILINE)
    assert number
    return VERSIONS, f"\n{step} = {number[1]}", f"\n{step} = 90"


def recipe(settings: str) -> Edit:
    """Return the edit that trains by other settings."""
    return BACKBONE, RECIPE, settings


# What decides the output of some rule, by name.
EDITS: dict[str, Edit] = {
    "learning rate": recipe("{learning_rate: 2.0e-3, epochs: 1, batch_size: 8}"),
    "epochs": recipe("{learning_rate: 1.0e-3, epochs: 3, batch_size: 8}"),
    "adapters": recipe(RECIPE.replace("}", ", method: lora, rank: 4}")),
    "prompt": (BACKBONE, 'prompt: "{question}"', 'prompt: "Look. {question}"'),
    "dtype": (BACKBONE, "\nprompt:", "\ndtype: bfloat16\nprompt:"),
    "geometry": (BACKBONE, "{size: 8}", "{size: 8, geometry: pad}"),
    "engine": (BACKBONE, "\nrecipes:", "\nengine: transformers\nrecipes:"),
    "weights": ("backbones/toy/config.json", "{}", '{"a": 1}'),
    "split": (CATALOG, "test: 10", "test: 9"),
    "split seed": (CATALOG, "test: 10", "test: 10, seed: 1"),
    "reader options": (CATALOG, "\nelements:", "\noptions: {noise: 2}\nelements:"),
    "instructions": (CATALOG, "\nelements:", "\noptions: {instructions: first}\nelements:"),
    "leaks": (EXPERIMENT, "\nsamples:", "\nleaks: report\nsamples:"),
    "samples": (EXPERIMENT, "\nsamples: 20", "\nsamples: 24"),
    "data seed": (EXPERIMENT, "\nsamples:", "\ndata_seed: 5\nsamples:"),
    "seeds": (EXPERIMENT, "\nsamples:", "\nseeds: [0, 1]\nsamples:"),
    "also asked": (EXPERIMENT, "\narms:", "\nalso: [blank-image]\narms:"),
    "family": (EXPERIMENT, "\narms:", "\nfamily: target\narms:"),
    "protocol": ("protocols/letters.yaml", "letters\n", "letters\nscoring: option-text\n"),
    "rule": ("combinations/unrelated.yaml", "area: other", "area: any"),
    "script": ("workflow/scripts/finetune.py", "import json\n", "import json\n\n"),
    **{f"version of {step}": version(step) for step in ("PREPARE", "MIX", "FINETUNE", "PREDICT")},
    **{f"version of {step}": version(step) for step in ("COMPARE", "LEAKS", "AUDIT", "REPORT")},
}
# What may come with it: on its own each makes some step of all data run again.
WITH: dict[str, tuple[Edit, ...]] = {
    "alone": (),
    "a target": ((EXPERIMENT, "[ct-brain-state]", "[ct-brain-state, us-lung-side]"),),
    "a catalog": (("config.yaml", "[toy]", "[toy, elsewhere]"),),
    "an experiment": (("config.yaml", "[toy]", "[toy, more]"),),
}


def build(workspaces: Callable[[str], Workspace], name: str) -> Workspace:
    """Return a workspace with two further experiments, one of them on another catalog."""
    mine = workspaces(name)
    text = (mine.root / EXPERIMENT).read_text()
    # That target's combination is the mix which is there already.
    more = text.replace("name: toy", "name: more").replace("ct-brain-state", "us-lung-state")
    mine.write("experiments/more.yaml", more)
    catalog = (mine.root / CATALOG).read_text()
    mine.write("catalogs/elsewhere.yaml", catalog.replace("name: toy", "name: elsewhere"))
    elsewhere = text.replace("name: toy", "name: elsewhere")
    other = elsewhere.replace("catalog: toy", "catalog: elsewhere")
    mine.write("experiments/elsewhere.yaml", other)
    return mine


def with_edits(mine: Workspace, edits: Iterable[Edit]) -> None:
    """Make edits, each where it is not made yet."""
    for path, old, new in edits:
        mine.edit(path, old, new)


@contextmanager
def edited(mine: Workspace, edits: Iterable[Edit]) -> Iterator[None]:
    """Make edits while the body runs; a script's age tells Snakemake too whether it was changed."""
    paths = [mine.root / path for path, *_ in edits]
    before = {path: (path.read_text(), path.stat()) for path in paths}
    with_edits(mine, edits)
    yield
    for path, (text, stat) in before.items():
        path.write_text(text)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


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


@pytest.fixture(scope="module")
def ran(workspaces: Callable[[str], Workspace]) -> Workspace:
    """Return a workspace in which everything has run."""
    mine = build(workspaces, "finished")
    done = mine.snakemake("--cores", "2")
    assert done.returncode == 0, done.stdout
    return mine


@pytest.fixture(scope="module")
def copies(ran: Workspace, tmp_path_factory: pytest.TempPathFactory) -> list[Workspace]:
    """Return two copies of the finished workspace, so that both cores can plan."""
    places = [tmp_path_factory.mktemp("copies") / "copy" for _ in range(2)]
    for place in places:
        shutil.copytree(ran.root, place, symlinks=True)
    return [Workspace(place) for place in places]


def planned_case(mine: Workspace, edits: tuple[Edit, ...]) -> str:
    """Return what is wrong with the jobs that are planned after some edits, empty if nothing."""
    with edited(mine, edits):
        found, whole = Planned.of(mine).jobs, Planned.of(mine, "--forceall")
    expected = whole.missing_in(mine.root)
    return f"too many {found - expected}, too few {expected - found}" if found != expected else ""


@pytest.mark.parametrize("company", WITH)
def test_jobs_are_those_of_an_empty_folder_less_what_is_there(
    copies: list[Workspace], company: str
) -> None:
    names = list(EDITS)
    halves = [names[::2], names[1::2]]

    def check(mine: Workspace, half: list[str]) -> dict[str, str]:
        return {name: planned_case(mine, (EDITS[name], *WITH[company])) for name in half}

    with ThreadPoolExecutor(2) as pool:
        wrong = [each for found in pool.map(check, copies, halves) for each in found.items()]
    assert not [each for each in wrong if each[1]]


def test_every_edit_is_seen(copies: list[Workspace]) -> None:
    whole = Planned.of(copies[0], "--forceall").jobs
    for name, edit in EDITS.items():
        with edited(copies[0], [edit]):
            done = copies[0].snakemake("-n", "--quiet", "rules")
        assert DONE not in done.stdout, name
    assert Planned.of(copies[0], "--forceall").jobs == whole
    assert not Planned.of(copies[0]).jobs


def test_experiments_in_turn_have_nothing_to_do_after_their_first_round(ran: Workspace) -> None:
    for turn in range(3):
        for names in ("toy", "more", "toy,more"):
            done = ran.snakemake("--cores", "2", "--config", f"experiments=[{names}]")
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
    assert calls == ["base_weights"] * 2
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
    done = mine.snakemake("--cores", "2")
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


# --- Sequences -----------------------------------------------------------------------------------

SEQUENCES, STEPS = 30, 4
SEQUENCED = [
    "learning rate", "epochs", "prompt", "engine", "weights", "split", "reader options", "leaks",
    "samples", "seeds", "also asked", "protocol", "version of FINETUNE", "version of PREDICT",
]  # fmt: skip
CHANGES = {name: (EDITS[name],) for name in SEQUENCED} | {k: v for k, v in WITH.items() if v}


def sequences() -> list[tuple[str, ...]]:
    """Return the edits that are made one after the other; one that is drawn again is undone.

    Edits of the same place are not drawn together.
    """
    draw, found = random.Random(7), []
    while len(found) < SEQUENCES:
        sequence = tuple(draw.choice(list(CHANGES)) for _ in range(STEPS))
        places = [(path, old) for name in set(sequence) for path, old, _ in CHANGES[name]]
        if len(set(places)) == len(places):
            found.append(sequence)
    return found


def tables(mine: Workspace) -> dict[str, bytes]:
    """Return the tables of the experiments of the last plan, by name."""
    used = (mine.root / "results/plan/used.tsv").read_text().splitlines()
    folders = [line.split("\t")[1] for line in used if line.startswith("experiment\t")]
    return {f: (mine.root / f / "tables/arms.csv").read_bytes() for f in folders}


def call(mine: Workspace) -> None:
    """Call Snakemake, plainly but for where its scripts run."""
    command = [sys.executable, str(Path(__file__).parent / "one_process.py"), "--cores", "1"]
    done = subprocess.run(command, cwd=mine.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass
class EmptyFolders:
    """The tables that some edits give where nothing has been made before, made once a state."""

    pristine: Path
    known: dict[frozenset[str], dict[str, bytes]] = field(default_factory=dict)

    def tables(self, state: frozenset[str], place: Path) -> dict[str, bytes]:
        """Return the tables of a state of edits, for which `place` is used."""
        if state not in self.known:
            shutil.copytree(self.pristine, place)
            mine = Workspace(place)
            with_edits(mine, [edit for name in sorted(state) for edit in CHANGES[name]])
            call(mine)
            self.known[state] = tables(mine)
            shutil.rmtree(place)
        return self.known[state]


def play(empty: EmptyFolders, played: list[tuple[str, ...]], place: Path) -> None:
    """Make the edits of sequences, all in one folder with all its past, and call after each.

    The tables are then held against those of an empty folder.
    """
    shutil.copytree(empty.pristine, place / "mine")
    mine = Workspace(place / "mine")
    for sequence in played:
        state: frozenset[str] = frozenset()
        for name in sequence:
            for path, old, new in CHANGES[name]:
                mine.edit(path, *((new, old) if name in state else (old, new)))
            state ^= {name}
            call(mine)
            assert tables(mine) == empty.tables(state, place / "empty"), (sequence, name)
        for path, old, new in (edit for name in state for edit in CHANGES[name]):
            mine.edit(path, new, old)
    trained = (mine.root / "trained.log").read_text().splitlines()
    assert len(set(trained)) == len(trained), "trained twice"


def test_after_any_sequence_of_edits_tables_are_those_of_an_empty_folder(
    workspaces: Callable[[str], Workspace], tmp_path: Path
) -> None:
    empty = EmptyFolders(build(workspaces, "pristine").root)
    every = sequences()
    halves = [(every[::2], tmp_path / "even"), (every[1::2], tmp_path / "odd")]
    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(lambda half: play(empty, *half), halves))) == 2
