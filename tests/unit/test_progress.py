"""The status line: counts, time left, what is shown of a failure."""

import io
import json

import pytest

from snakemake_logger_plugin_matcg import answers, last_lines
from snakemake_logger_plugin_matcg.progress import Progress, Running, duration
from snakemake_logger_plugin_matcg.screen import Screen


def started(progress: Progress, jobid: int, rule: str, at: float, threads: int = 1) -> None:
    progress.start(jobid, Running(rule, f"{rule} {jobid}", threads, at))


def test_time_left_follows_the_mean_of_finished_jobs_and_the_cores() -> None:
    progress = Progress(capacity=2)
    progress.plan({"finetune": 10, "all": 1, "total": 11})
    for jobid, span in ((1, 80.0), (2, 120.0)):
        started(progress, jobid, "finetune", at=0.0)
        progress.finish(jobid, now=span)
    assert progress.total == 10
    assert progress.seconds_left(now=120.0) == pytest.approx(8 * 100 / 2)


def test_a_running_job_counts_with_what_it_still_needs() -> None:
    progress = Progress(capacity=1)
    progress.plan({"mix": 2})
    started(progress, 1, "mix", at=0.0)
    progress.finish(1, now=100.0)
    started(progress, 2, "mix", at=100.0)
    assert progress.seconds_left(now=130.0) == pytest.approx(70.0)


def test_jobs_with_several_threads_fill_the_cores() -> None:
    progress = Progress(capacity=2)
    progress.plan({"predict": 3})
    started(progress, 1, "predict", at=0.0, threads=2)
    progress.finish(1, now=50.0)
    assert progress.seconds_left(now=50.0) == pytest.approx(100.0)


def test_the_longest_job_is_a_lower_bound() -> None:
    progress = Progress(capacity=100, remote=True)
    progress.plan({"finetune": 2})
    started(progress, 1, "finetune", at=0.0, threads=8)
    progress.finish(1, now=600.0)
    assert progress.seconds_left(now=600.0) == pytest.approx(600.0)


def test_a_failed_job_stays_among_those_left() -> None:
    progress = Progress()
    progress.plan({"mix": 1})
    started(progress, 1, "mix", at=0.0)
    progress.fail(1)
    assert "[0/1, 1 failed] 1 left" in progress.line(now=1.0)
    started(progress, 1, "mix", at=2.0)
    progress.finish(1, now=3.0)
    assert "0 left" in progress.line(now=3.0)


def test_the_line_names_what_runs() -> None:
    progress = Progress()
    progress.plan({"mix": 3, "world": 1})
    started(progress, 1, "mix", at=0.0)
    started(progress, 2, "world", at=0.0)
    assert progress.line(now=0.0).endswith(": mix 1 | world 2")
    assert "4 left" in progress.line(now=0.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "5 s"),
        (44, "45 s"),
        (58, "1 min"),
        (360, "6 min"),
        (12_000, "3 h 20 min"),
        (90_000, "25 h"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_log_file_gets_no_line_per_change_and_no_control_characters() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    screen.follow(lambda: "status")
    for _ in range(20):
        screen.refresh()
    screen.print("above")
    screen.close()
    assert stream.getvalue() == "status\nabove\n"


def test_a_terminal_gets_the_status_redrawn_below_what_is_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            return 1

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("os.get_terminal_size", lambda _: type("Size", (), {"columns": 8}))
    stream = Terminal()
    screen = Screen(stream)
    screen.follow(lambda: "status is long")
    screen.refresh()
    screen.print("above")
    screen.close()
    erase = "\r\x1b[2K"
    text = stream.getvalue()
    assert f"{erase}above\n{erase}status " in text
    assert "long" not in text
    assert text.endswith(erase)


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        ("loading\nerror: config.yaml: unknown key 'a'\n", ["error: config.yaml: unknown key 'a'"]),
        ("Traceback (most recent call last):\n  File x\nKeyError: 1\n\n", ["KeyError: 1"]),
        ("a\nb\nc\nd\n", ["b", "c", "d"]),
        ("", []),
    ],
)
def test_last_lines_of_a_log(tmp_path, log: str, shown: list[str]) -> None:
    path = tmp_path / "job.log"
    path.write_text(log)
    assert last_lines([str(tmp_path / "missing.log"), str(path)]) == shown


def test_answers_are_those_of_the_planned_experiments(tmp_path) -> None:
    assert answers(tmp_path) == []
    folders = {name: tmp_path / "experiments" / f"{name}-0123abcd" for name in ("new", "old")}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        (folder / "headline.json").write_text(json.dumps({"headline": f"{name} says"}))
    (tmp_path / "plan").mkdir()
    used = [("run", tmp_path / "run"), ("experiment", folders["new"]), ("experiment", "not/made")]
    lines = ["kind\tpath", *(f"{kind}\t{path}" for kind, path in used)]
    (tmp_path / "plan" / "used.tsv").write_text("\n".join(lines) + "\n")
    assert answers(tmp_path) == ["new says"]
    (tmp_path / "report.html").touch()
    assert answers(tmp_path)[1] == f"Report: {tmp_path / 'report.html'}"
