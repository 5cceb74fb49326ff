"""How far a run of the workflow is, and about how long the rest takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

# Seconds of a job whose rule has not finished one yet, measured with the tiny backbone on one core
# of a small server. One finished job replaces the guess.
PRIOR = {"finetune": 11.0, "predict": 23.0, "backbone": 1200.0}
OTHERWISE = 1.0


@dataclass(frozen=True, slots=True)
class Running:
    """A job that has started: its rule, how it is shown, its cores, and when (seconds)."""

    rule: str
    title: str
    threads: int
    started: float


@dataclass
class Progress:
    """Counts of jobs per rule, and how long the finished ones took.

    `capacity` is the number of cores, or of jobs where they run elsewhere (`remote`).
    """

    capacity: int = 1
    remote: bool = False
    done: int = 0
    failed: int = 0
    left: dict[str, int] = field(default_factory=dict)
    running: dict[int, Running] = field(default_factory=dict)
    spans: dict[str, list[float]] = field(default_factory=dict)
    threads: dict[str, int] = field(default_factory=dict)

    def plan(self, stats: Mapping[str, int]) -> None:
        """Take the number of jobs per rule. The target rule `all` does nothing and is left out."""
        self.left = {rule: n for rule, n in stats.items() if rule not in {"total", "all"}}
        self.done = self.failed = 0

    @property
    def total(self) -> int:
        """Number of jobs, finished ones included."""
        return self.done + sum(self.left.values())

    def start(self, jobid: int, job: Running) -> None:
        """Note that a job has started."""
        if job.rule in self.left:
            self.running[jobid] = job
            self.threads[job.rule] = 1 if self.remote else job.threads

    def finish(self, jobid: int, now: float) -> None:
        """Note that a job has ended well."""
        job = self.running.pop(jobid, None)
        if job is None:
            return
        self.done += 1
        self.left[job.rule] -= 1
        self.spans.setdefault(job.rule, []).append(max(now - job.started, 0.0))

    def fail(self, jobid: int) -> Running | None:
        """Note that a job has failed; it stays among those left, for it may be tried again."""
        self.failed += 1
        return self.running.pop(jobid, None)

    def seconds_left(self, now: float) -> float:
        """Return about how long the rest takes: work divided by cores, at least the longest job."""
        work = 0.0
        longest = 0.0
        running = list(self.running.values())  # a copy, for another thread draws the status
        for rule, n in self.left.items():
            rests = [self._rest(job, now) for job in running if job.rule == rule]
            waiting = (n - len(rests)) * self._span(rule)
            work += (sum(rests) + waiting) * self.threads.get(rule, 1)
            longest = max([longest, *rests, self._span(rule) if waiting else 0.0])
        return max(work / self.capacity, longest)

    def line(self, now: float) -> str:
        """Return what runs, how many jobs remain and about how long."""
        rest = sum(self.left.values())
        titles = " | ".join(job.title for job in list(self.running.values()))
        failed = f", {self.failed} failed" if self.failed else ""
        about = duration(self.seconds_left(now))
        head = f"[{self.done}/{self.total}{failed}] {rest} left, about {about}"
        return f"{head}: {titles}" if titles else head

    def _span(self, rule: str) -> float:
        seen = self.spans.get(rule)
        return fmean(seen) if seen else PRIOR.get(rule, OTHERWISE)

    def _rest(self, job: Running, now: float) -> float:
        """Return what a running job still needs; one that overruns gets a tenth of its span."""
        span = self._span(job.rule)
        return max(span - (now - job.started), span / 10)


def duration(seconds: float) -> str:
    """Return a duration as a person would say it: `35 s`, `6 min`, `3 h 20 min`."""
    if seconds < 57.5:
        return f"{max(round(seconds / 5) * 5, 5)} s"
    minutes = max(round(seconds / 60), 1)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours} h"
