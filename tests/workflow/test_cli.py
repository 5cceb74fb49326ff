"""What a user types and what the workflow says: commands, mistakes, what makes it run again."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from repository import fresh_copy, snakemake
from workspace import REPO, Workspace

RULES = {
    "all", "audit", "backbone", "catalog", "check_images", "compare", "enumerate",
    "enumerate_experiment", "fetch_medmat", "fetch_tables", "figures", "finetune", "leak_pairs",
    "leaks", "lengths", "mix", "paper", "plan", "predict", "prepare", "report", "summarise",
    "world",
}  # fmt: skip
DONE = "Nothing to be done"


def test_list_names_the_rules(workspace: Workspace) -> None:
    done = workspace.snakemake("--list")
    assert set(done.stdout.split()) >= RULES, done.stdout


def test_lint_finds_nothing(workspace: Workspace) -> None:
    done = workspace.snakemake("--lint")
    assert done.returncode == 0, done.stdout
    assert "good condition" in done.stdout


def test_a_dry_run_shows_the_whole_plan(workspace: Workspace) -> None:
    done = workspace.snakemake("-n", "--quiet", "rules")
    assert done.returncode == 0, done.stdout
    counts = {
        parts[0]: parts[1] for line in done.stdout.splitlines() if len(parts := line.split()) == 2
    }
    wanted = {
        "prepare": "4",
        "lengths": "4",
        "mix": "2",
        "finetune": "2",
        "predict": "1",
        "compare": "1",
    }
    assert wanted.items() <= counts.items()
    assert not (workspace.root / "results").exists()


MISTAKES = [
    ("config.yaml", "engine:", "engin:", "config.yaml: engin: unknown key. Did you mean 'engine'?"),
    ("config.yaml", "[toy]", "[tyo]", "no experiment 'tyo' in experiments/. Did you mean 'toy'?"),
    ("experiments/toy.yaml", "ct-brain-state", "ct-brain-stat", "Did you mean 'ct-brain-state'?"),
    ("experiments/toy.yaml", "[fixed-task]", "[fixed-taks]", "Did you mean 'fixed-task'?"),
    ("combinations/fixed-task.yaml", "modality:", "modalty:", "Did you mean 'modality'?"),
    ("backbones/toy.yaml", "weights: toy", "weights: tyo", "weights: no folder backbones/tyo"),
    ("backbones/toy.yaml", "weights: toy", "engine: vlm\nweights: toy", "no engine 'vlm'. Did you"),
    ("catalogs/toy.yaml", "reader: phantom", "reader: fantom", "reader: no reader 'fantom'. Did"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "old", "new", "message"), MISTAKES)
def test_a_mistake_is_one_line(
    workspace: Workspace, path: str, old: str, new: str, message: str
) -> None:
    before = (workspace.root / path).read_text()
    workspace.edit(path, old, new)
    done = workspace.snakemake("-n")
    workspace.write(path, before)
    assert done.returncode == 1
    assert one_line(done.stdout, message)


def one_line(text: str, message: str) -> bool:
    """Tell whether Snakemake said nothing but that line, which starts with our name."""
    lines = [line for line in text.splitlines() if not line.startswith("Using workflow specific")]
    assert len(lines) == 1, text
    return lines[0].startswith("matcg: ") and message in lines[0]


CONFIGS = {
    "missing.yaml": (None, "cannot be read (No such file or directory)"),
    "empty.yaml": ("", "holds no `key: value` pairs"),
    "list.yaml": ("- a\n", "holds no `key: value` pairs"),
    "tabs.yaml": ("data:\n\ttoy: x\n", "(a tab, which YAML does not indent with)"),
    "octal.yaml": ("limit: {targets: 010}\n", "010 is no plain decimal number, and YAML"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    """Snakemake itself reads it before the rules: said in its own process, not in a fork."""
    folder = fresh_copy(tmp_path)
    text, said = CONFIGS[name]
    if text is not None:
        (folder / name).write_text(text)
    done = snakemake(folder, "-n", "--configfile", name)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("matcg: "))
    assert name in line
    assert said in line
    if text != "limit: {targets: 010}\n":
        assert done.stdout.splitlines()[-1] == line


def test_a_config_file_is_looked_at_by_the_library_of_whatever_clone_runs(tmp_path: Path) -> None:
    folder = fresh_copy(tmp_path)
    with (folder / "workflow/matcg/config/yaml_file.py").open("a") as library:
        library.write('import sys\nsys.stderr.write("read by this clone\\n")\n')
    done = snakemake(folder, "-n", "--configfile", "tests/configs/small.yaml")
    assert done.returncode == 0, done.stdout
    assert "read by this clone" in done.stdout


def test_a_rule_that_matches_nothing_is_one_line(workspace: Workspace) -> None:
    workspace.write(
        "combinations/none.yaml", "name: none\nsources: [{modality: same, kind: other}]\n"
    )
    workspace.write("none.yaml", "experiments: [none-experiment.yaml]\n")
    experiment = (workspace.root / "experiments/toy.yaml").read_text()
    workspace.write("none-experiment.yaml", experiment.replace("fixed-task", "none"))
    done = workspace.snakemake("-n", "--configfile", "none.yaml")
    assert done.returncode == 1
    assert (
        "matcg: none-experiment.yaml: rule 'none' (arm 'cg') matches no combination" in done.stdout
    )
    # Which pattern finds nothing, and how many there are to find.
    found = r"of \d+ subsets, sources\[0\] {modality: same, kind: other} finds 0\)"
    assert re.search(rf"\(for ct-brain-state, {found}", done.stdout)
    assert "Traceback" not in done.stdout


def test_another_config_replaces_lists(workspace: Workspace) -> None:
    experiment = (workspace.root / "experiments/toy.yaml").read_text()
    workspace.write("other/mine.yaml", experiment.replace("name: toy", "name: mine"))
    workspace.write("other/config.yaml", "experiments: [mine.yaml]\n")
    done = workspace.snakemake("-n", "--configfile", "other/config.yaml")
    assert done.returncode == 0, done.stdout
    assert re.search(r"results/experiments/mine-[0-9a-f]{8}/headline.json", done.stdout)
    assert "results/experiments/toy" not in done.stdout


def test_missing_data_stops_before_the_first_job(workspaces: Callable[[str], Workspace]) -> None:
    mine = workspaces("rootless")
    mine.edit("catalogs/toy.yaml", "reader: phantom", "reader: medmat")
    assert mine.snakemake("-n").returncode == 0
    done = mine.snakemake("--cores", "1")
    assert done.returncode == 1
    assert "data.toy is not set" in done.stdout
    assert not (mine.root / "results/data").exists()


# --- Running -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(workspaces: Callable[[str], Workspace]) -> Workspace:
    """Return a workspace in which everything has run."""
    mine = workspaces("ran")
    # In processes of their own, with other hash seeds than the calls that follow.
    done = snakemake(mine.root, "--cores", "2")
    assert done.returncode == 0, done.stdout
    assert "CG against control" in done.stdout
    assert "Report: results/report.html" in done.stdout
    return mine


def jobs(mine: Workspace) -> dict[str, int]:
    """Return how many jobs of each rule a call would run."""
    done = mine.snakemake("-n", "--quiet", "rules")
    assert done.returncode == 0, done.stdout
    if DONE in done.stdout:
        return {}
    table = done.stdout.split("Job stats:")[1].split("total")[0]
    rows = (line.split() for line in table.splitlines()[3:])
    return {row[0]: int(row[1]) for row in rows if len(row) == 2}


def test_a_second_call_has_nothing_to_do(ran: Workspace) -> None:
    done = snakemake(ran.root, "--cores", "2")
    assert done.returncode == 0
    assert DONE in done.stdout


def test_a_report_of_snakemake_can_be_made(ran: Workspace) -> None:
    done = ran.snakemake("--report", "snakemake-report.html")
    assert done.returncode == 0, done.stdout
    text = (ran.root / "snakemake-report.html").read_text()
    assert "Experiments of this run: toy." in text
    for caption in (
        "The whole report as one page that loads nothing",
        "The answer of experiment toy in one sentence",
        "Table arms of the experiment.",
        "Accuracy of every arm on each target, with chance.",
        "Samples of every subset of the phantom world",
        "lists every row that could not be used",
    ):
        assert caption in text
    for place in ('"Report": {', '"Tables": {"toy": [', '"Figures": {"toy": [', '"Data": {'):
        assert place in text


CHANGES = [
    # How and where it runs: nothing.
    ("backbones/toy.yaml", "mem_mb: 100, threads: 1", "mem_mb: 200, threads: 1, runtime: 5", set()),
    ("config.yaml", "enforce_eager: true", "enforce_eager: false", set()),
    ("config.yaml", "engine:", "training: {checkpoint_minutes: 1}\nengine:", set()),
    ("backbones/toy.yaml", "no weights worth the name", "described anew", set()),
    # A recipe nobody uses: nothing. The one in use: its runs and what follows from them.
    ("backbones/toy.yaml", "1.0e-4", "2.0e-4", set()),
    ("backbones/toy.yaml", "1.0e-3", "2.0e-3", {"finetune", "predict"}),
    # Weights come with a tokeniser, by which samples are measured.
    ("backbones/toy/config.json", "{}", '{"a": 1}', {"lengths", "mix", "finetune", "predict"}),
    ("catalogs/toy.yaml", "test: 10", "test: 9", {"prepare"}),
    ("workflow/matcg/versions.py", "PREDICT = 4", "PREDICT = 5", {"predict", "compare"}),
    ("workflow/matcg/versions.py", "COMPARE = 8", "COMPARE = 9", {"compare", "figures"}),
    # How a backbone is asked matters to no training; nor does a further way of asking.
    ("backbones/toy.yaml", "\nrecipes:", "\nengine: transformers\nrecipes:", {"predict"}),
    ("experiments/toy.yaml", "\narms:", "\nalso: [blank-image]\narms:", {"predict", "compare"}),
]


@pytest.mark.parametrize(("path", "old", "new", "rules"), CHANGES)
def test_what_a_change_runs_again(
    ran: Workspace, path: str, old: str, new: str, rules: set[str]
) -> None:
    before = (ran.root / path).read_text()
    ran.edit(path, old, new)
    found = jobs(ran)
    (ran.root / path).write_text(before)
    assert bool(found) == bool(rules)
    assert rules <= set(found)
    if rules and "prepare" not in rules:
        assert not ({"prepare", "lengths", "mix"} - rules) & set(found)
    if "finetune" not in rules and "prepare" not in rules:
        assert "finetune" not in found


def test_another_experiment_adds_its_own_runs_only(ran: Workspace) -> None:
    text = (ran.root / "experiments/toy.yaml").read_text()
    # That target's combination is the mix which is there already, but drawn for another target.
    more = text.replace("name: toy", "name: more").replace("ct-brain-state", "us-lung-state")
    ran.write("experiments/more.yaml", more)
    ran.edit("config.yaml", "[toy]", "[toy, more]")
    found = jobs(ran)
    ran.edit("config.yaml", "[toy, more]", "[toy]")
    assert (found["mix"], found["finetune"], found["predict"]) == (2, 2, 1)
    assert (found["compare"], found["audit"], found["leaks"]) == (1, 1, 1)


def test_removing_a_target_deletes_nothing_and_says_what_is_unused(
    workspaces: Callable[[str], Workspace],
) -> None:
    mine = workspaces("less")
    mine.edit("experiments/toy.yaml", "[ct-brain-state]", "[ct-brain-state, us-brain-side]")
    assert mine.quickly().returncode == 0
    before = made(mine)
    mine.edit("experiments/toy.yaml", "[ct-brain-state, us-brain-side]", "[ct-brain-state]")
    done = mine.quickly()
    assert done.returncode == 0, done.stdout
    assert "finetune" not in done.stdout, "nothing that stays is trained again"
    assert before <= made(mine)
    unused = (mine.root / "results/plan/unused.tsv").read_text()
    assert unused.count("\nrun\t") == unused.count("\nmix\t") == 2
    assert re.search(r"\nanswers\tresults/answers/toy-\w+/full-\w+/\S+/seed0\t0\.000\n", unused)
    said = r"mix: 2 \(0\.0 MB\), run: 2 \(0\.0 MB\)"
    assert re.search(said, (mine.root / "results/plan/summary.md").read_text())


def made(mine: Workspace) -> set[str]:
    """Return the paths of all runs, mixes and answers."""
    folders = ("runs", "mixes", "answers")
    found = (path for folder in folders for path in (mine.root / "results" / folder).rglob("*"))
    return {path.as_posix() for path in found}


# --- What a plan costs ---------------------------------------------------------------------------


def test_the_plan_is_shown_with_its_price_whenever_it_is_asked_for(
    workspaces: Callable[[str], Workspace],
) -> None:
    mine = workspaces("priced")
    mine.edit("catalogs/toy.yaml", "reader: phantom", "reader: medmat")
    first = mine.snakemake("plan", "--cores", "1")
    assert first.returncode == 0, first.stdout
    assert "| finetune | toy | full | 2 | 40 samples seen | unknown |" in first.stdout
    header = "step\tbackbone\trecipe\tdevice\tjobs\tunits\tseconds\n"
    mine.write("results/throughput.tsv", header + "finetune\ttoy\tfull\tcpu\t2\t40\t3600\n")
    again = mine.snakemake("plan", "--cores", "1").stdout
    assert "| 1.00 CPU-hours | unknown | measured, 2 jobs on cpu |" in again
    assert "1.00 CPU-hours" in (mine.root / "results/plan/summary.md").read_text()


def test_looking_at_the_plan_makes_nothing_else_run_again(ran: Workspace) -> None:
    assert ran.snakemake("plan", "--cores", "1").returncode == 0
    assert jobs(ran) == {}


def test_a_plan_above_its_budget_is_shown_and_not_launched(
    workspaces: Callable[[str], Workspace],
) -> None:
    mine = workspaces("budget")
    mine.edit("backbones/toy.yaml", "threads: 1", "threads: 1, weights_mb: 600")
    mine.write("mine.yaml", "budget: {disk_gb: 1}\n")
    refused = "the plan takes 1.2 GB of weights, budget.disk_gb is 1"
    assert refused in mine.snakemake("plan", "--cores", "1", "--configfile", "mine.yaml").stdout
    assert mine.snakemake("-n", "--configfile", "mine.yaml").returncode == 0
    done = mine.snakemake("--cores", "1", "--configfile", "mine.yaml")
    assert done.returncode == 1
    assert f"Not launched: {refused}" in done.stdout
    assert not (mine.root / "results/runs").exists()
    mine.write("mine.yaml", "budget: {disk_gb: 2}\n")
    assert mine.quickly("--configfile", "mine.yaml").returncode == 0


def test_the_paper_is_planned_by_one_word(tmp_path: Path) -> None:
    copy = fresh_copy(tmp_path)
    # What Snakemake would tell the processes that run single jobs on other machines.
    (copy / "told.smk").write_text(
        'include: "Snakefile"\n'
        "from snakemake.spawn_jobs import SpawnedJobArgsFactory\n"
        "told = SpawnedJobArgsFactory(workflow).workflow_property_to_arg\n"
        "print(told('config_settings.config_args', flag='--config'))\n"
    )
    done = snakemake(copy, "-s", "told.smk", "-n", "paper")
    assert done.returncode == 0, done.stdout
    assert "--config 'experiments=[paper]'" in done.stdout
    names = [path.stem for path in (REPO / "experiments/paper").glob("*.yaml")]
    assert len(names) == 21
    for name in names:
        assert f"results/experiments/paper-{name}-" in done.stdout
    assert "results/experiments/phantom" not in done.stdout
    one = snakemake(copy, "-n", "table10", "figure4")
    assert one.returncode == 0, one.stdout
    assert set(re.findall(r"results/experiments/([\w-]+)-\w{8}/headline.json", one.stdout)) == {
        "paper-table10",
        "paper-figure4",
    }
    # Who asks what something would cost does not get it.
    for word in ("all", "paper", "table10"):
        asked = snakemake(copy, "-n", "plan", word)
        assert asked.returncode == 0, asked.stdout
        jobs = set(re.findall(r"^(\w+) +\d+$", asked.stdout, re.MULTILINE))
        assert jobs - {"enumerate", "enumerate_experiment"} == {"plan", word, "total"}


def test_a_failing_step_tells_the_user_in_a_line(workspaces: Callable[[str], Workspace]) -> None:
    mine = workspaces("failing")
    body = "from matcg.errors import DataError\n\n\ndef prepare(*_):\n"
    mine.write("workflow/matcg/data/prepare.py", body + "    raise DataError('a.png: truncated')\n")
    done = mine.snakemake("--cores", "1")
    assert done.returncode == 1
    assert "matcg: a.png: truncated (log: logs/prepare/toy/" in done.stdout
    assert "Traceback" not in done.stdout


def test_what_a_stopped_fine_tuning_kept_is_there_in_the_next_try(
    workspaces: Callable[[str], Workspace],
) -> None:
    mine = workspaces("stopped")
    stopped = """
            if not store.exists():
                from matcg.errors import StoppedError
                (out / "weights").mkdir(parents=True)
                store.mkdir()
                raise StoppedError("stopped by SIGTERM")
            assert store.is_dir() and not (out / "weights").exists()
"""
    first = "    from pathlib import Path\n"
    mine.edit("workflow/matcg/train/finetune.py", first, first + stopped.replace(" " * 12, " " * 4))
    done = mine.snakemake("--cores", "2", "--retries", "1", "--until", "finetune")
    assert done.returncode == 0, done.stdout
    assert "matcg: stopped by SIGTERM (log: logs/finetune/toy-" in done.stdout
    assert list(mine.root.glob("results/runs/toy-*/*/*/seed0/weights/w"))
