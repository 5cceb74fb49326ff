"""Tables from what has been answered so far: nothing is trained or asked for them."""

from collections.abc import Callable

from workspace import Workspace


def test_what_is_missing_is_shown_and_not_made(workspaces: Callable[[str], Workspace]) -> None:
    mine = workspaces("missing")
    mine.edit("experiments/toy.yaml", "[ct-brain-state]", "[ct-brain-state, us-brain-side]")
    assert mine.snakemake("--cores", "2").returncode == 0
    answers = mine.root / "results/predictions/toy/toy/us-brain-side.parquet"
    answers.unlink()
    # What would be a reason to train and to ask again is none here.
    mine.edit("backbones/toy.yaml", "1.0e-3", "2.0e-3")
    done = mine.snakemake("--cores", "2", "--config", "missing=show")
    assert done.returncode == 0, done.stdout
    assert not {"rule finetune:", "rule predict:"} & set(done.stdout.splitlines()), done.stdout
    assert "compare" in done.stdout
    assert not answers.exists()
    again = mine.snakemake("-n", "--quiet", "rules")
    assert {"finetune", "predict"} <= set(again.stdout.split())


def test_without_any_answer_there_is_a_report_too(workspaces: Callable[[str], Workspace]) -> None:
    mine = workspaces("nothing")
    done = mine.snakemake("--cores", "2", "--config", "missing=show")
    assert done.returncode == 0, done.stdout
    assert "Report: results/report.html" in done.stdout
    assert not (mine.root / "results/predictions").exists()
    assert not (mine.root / "results/runs").exists()
