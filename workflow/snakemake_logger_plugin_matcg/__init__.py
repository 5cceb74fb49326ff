"""Snakemake's messages in short: `snakemake --logger matcg`.

One status says what runs, how many jobs remain and about how long. A failed job shows the last
lines of its log and where the log is. Snakemake finds the module by its name.

It imports the module before it reads the files of `--configfile`. Of one that it cannot read it
does not say the name, or it shows a traceback; so they are looked at here, whatever the logger.
"""

import csv
import json
import logging
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_matcg.progress import Progress, Running, duration
from snakemake_logger_plugin_matcg.screen import Screen

# Of the messages that carry no event these alone tell a user something.
WORTH_SAYING = ("Nothing to be done", "Creating conda environment", "Complete log(s)")
LINES_OF_A_LOG = 3
# What ends a name in a path; the log of a failed job is told with it.
DIGEST = re.compile(r"-[0-9a-f]{8}$")


def config_files(words: Sequence[str]) -> list[Path]:
    """Return the files that the words of a command name by `--configfile`, which takes several."""
    found: list[Path] = []
    taking = False
    for word in words:
        if word.startswith("-"):
            flag, _, value = word.partition("=")
            taking = flag in ("--configfile", "--configfiles")
            found += [Path(value)] if taking and value else []
        elif taking:
            found.append(Path(word))
    return found


def require_config_files(words: Sequence[str]) -> None:
    """Refuse files of `--configfile` that cannot be read.

    The library is forgotten again: the Snakefile imports that of its own clone, which may be
    another than the installed one.

    Raises:
        SystemExit: one is missing, empty, or no YAML; with one line.
    """
    named, before = config_files(words), set(sys.modules)
    if not named:
        return
    from matcg.config.yaml_file import require_readable

    for each in named:
        require_readable(each, "--configfile ")
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "matcg":
            del sys.modules[name]


# The command itself, or `python -m snakemake`.
if "snakemake" in (Path(sys.argv[0]).name, Path(sys.argv[0]).parent.name):
    require_config_files(sys.argv[1:])


class LogHandler(LogHandlerBase):
    """Turns Snakemake's log records into a status and the lines above it."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Start with nothing planned."""
        self.progress = Progress()
        self.screen = Screen()
        self.began = time.time()
        self.held = ""
        self.events = {
            LogEvent.RESOURCES_INFO: self._resources,
            LogEvent.RUN_INFO: self._planned,
            LogEvent.JOB_INFO: self._started,
            LogEvent.JOB_FINISHED: self._finished,
            LogEvent.JOB_ERROR: self._failed,
            LogEvent.ERROR: self._error,
        }

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record, or keep it for the status."""
        event = getattr(record, "event", None)
        if event in self.events:
            self.events[event](record.__dict__)
        elif event is None and self._worth_saying(record):
            self._say(record)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.screen.close()
        super().close()

    def _worth_saying(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING or self.common_settings.dryrun:
            return True
        text = record.getMessage()
        return text.startswith(WORTH_SAYING) and (
            self.progress.failed > 0 or not text.startswith("Complete")
        )

    def _say(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.screen.print(text)
        if text.startswith("Nothing to be done"):
            for line in answers(Path("results")):
                self.screen.print(line)

    def _resources(self, record: dict[str, Any]) -> None:
        for name, remote in (("cores", False), ("nodes", True)):
            if record.get(name):
                self.progress.capacity, self.progress.remote = record[name], remote

    def _planned(self, record: dict[str, Any]) -> None:
        if self.progress.left:  # a dry run tells its jobs twice
            return
        self.progress.plan(record["stats"])
        self.began = time.time()
        counts = ", ".join(f"{n} {rule}" for rule, n in self.progress.left.items())
        self.screen.print(f"{self.progress.total} jobs: {counts}")
        if not self.common_settings.dryrun:
            self.screen.follow(lambda: self.progress.line(time.time()))

    def _started(self, record: dict[str, Any]) -> None:
        names = [DIGEST.sub("", str(name)) for name in dict(record["wildcards"]).values()]
        title = " ".join([record["rule_name"], *names])
        if self.common_settings.dryrun:
            self.screen.print(f"  {title}")
            return
        job = Running(record["rule_name"], title, record["threads"], record["created"])
        self.progress.start(record["jobid"], job)
        self.screen.refresh()

    def _finished(self, record: dict[str, Any]) -> None:
        self.progress.finish(record["job_id"], record["created"])
        self.screen.refresh()
        if not any(self.progress.left.values()) and self.progress.done:
            self.screen.unfollow()
            spent = duration(record["created"] - self.began)
            self.screen.print(f"{self.progress.done} jobs done in {spent}.")
            self.progress.done = 0

    def _error(self, record: dict[str, Any]) -> None:
        # What a job died of stands in its log, and the job's own record follows with its path.
        if record.get("exception") == "RuleException":
            self.held = record["message"]
        else:
            self.screen.print(record["message"])

    def _failed(self, record: dict[str, Any]) -> None:
        job = self.progress.fail(record["jobid"])
        self.screen.print(f"Failed: {job.title if job else record['rule_name']}")
        lines = last_lines(record["log"]) or (record["rule_msg"] or self.held).splitlines()
        for line in lines:
            self.screen.print(f"  {line}")
        for path in record["log"]:
            self.screen.print(f"  log: {path}")
        self.held = ""


def last_lines(logs: list[str]) -> list[str]:
    """Return what a failed job said last: its one-line error, or the log's last lines."""
    for path in map(Path, logs):
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        told = any(line.startswith("Traceback (") for line in lines) or (
            bool(lines) and lines[-1].startswith("error:")
        )
        return lines[-1:] if told else lines[-LINES_OF_A_LOG:]
    return []


def answers(results: Path) -> list[str]:
    """Return the headline of each planned experiment and where the report is, as far as made."""
    plan = results / "plan" / "used.tsv"
    if not plan.is_file():
        return []
    with plan.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    files = [Path(row["path"], "headline.json") for row in rows if row["kind"] == "experiment"]
    lines = [
        json.loads(path.read_text(encoding="utf-8"))["headline"] for path in files if path.is_file()
    ]
    page = results / "report.html"
    return [*lines, f"Report: {page}"] if page.is_file() else lines
