"""Tables from what has been answered so far: nothing is trained or asked for them."""

from collections.abc import Callable

from workspace import Workspace


def test_what_is_missing_is_shown_and_not_made(workspaces: Callable[[str], Workspace]) -> None:
    mine = workspaces("missing")
    mine.edit("experiments/toy.yaml", "[ct-brain-state]", "[ct-brain-state, us-brain-side]")
    assert mine.quickly().returncode == 0
    whole = tables(mine)
    lost = list(mine.root.glob("results/answers/*/**/us-brain-side-*.parquet"))
    for answers in lost:
        answers.unlink()
    assert lost
    assert "us-brain-side" in whole
    assert "us-brain-side" not in show(mine)
    # Answers of another recipe are on disk, and in no table of this one.
    mine.edit("backbones/toy.yaml", "1.0e-3", "2.0e-3")
    assert "seed0" in whole
    assert "seed0" not in show(mine)
    assert not any(answers.exists() for answers in lost)
    again = mine.snakemake("-n", "--quiet", "rules")
    assert {"finetune", "predict"} <= set(again.stdout.split())


def show(mine: Workspace) -> str:
    """Make the table of what there is, and nothing else, and return it."""
    done = mine.quickly("--config", "missing=show")
    assert done.returncode == 0, done.stdout
    assert not {"rule finetune:", "rule predict:"} & set(done.stdout.splitlines()), done.stdout
    return tables(mine)


def tables(mine: Workspace) -> str:
    """Return the table of the experiment's last plan."""
    return (mine.root / "results/experiments/toy/tables/arms.csv").read_text()


def test_without_any_answer_there_is_a_report_too(workspaces: Callable[[str], Workspace]) -> None:
    mine = workspaces("nothing")
    done = mine.quickly("--config", "missing=show")
    assert done.returncode == 0, done.stdout
    assert "Report: results/report.html" in done.stdout
    assert not (mine.root / "results/answers").exists()
    assert not (mine.root / "results/runs").exists()
