"""A group of runs of one backbone with what each is asked, and how an engine is asked for it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel

from matcg import forms
from matcg.config.backbone import Backbone
from matcg.config.protocol import DEFAULT_PROTOCOL, Protocol
from matcg.evaluate.adapters import merge, rank_of
from matcg.evaluate.engine import Engine
from matcg.evaluate.kept_answers import Store, digest_of_answers
from matcg.evaluate.question_sets import QuestionSet, weights_digest
from matcg.evaluate.requests import Ask, make_asks, tabulate
from matcg.evaluate.start import start
from matcg.evaluate.timing import Timing
from matcg.forms import Reply
from matcg.models.prompts import view_of
from matcg.plan.records import BASELINE
from matcg.samples import Sample, read_samples

_PLAIN = Protocol(name=DEFAULT_PROTOCOL)
_TOGETHER = 2000  # questions that are answered in text
_PROBES = 16  # questions that a check of an engine asks


class RunTask(BaseModel):
    """One run's part of a group, for another process."""

    run: str
    weights: Path
    question_sets: Sequence[QuestionSet]
    backbone: Backbone
    engine: dict[str, Any]
    store: Path
    trained: str
    record: str

    def group(self) -> "Group":
        """Return the group of this run alone."""
        asked = {self.run: self.question_sets}
        weights = {self.run: self.weights}
        store, trained = Store(self.store), {self.run: self.trained}
        return Group(weights, asked, self.backbone, self.engine, store, self.record, trained)


@dataclass
class Group:
    """A group's runs with their weights, what each is asked, and where answers are kept.

    `record` names the group's record, for the answers to say what made them; `trained` gives the
    digest of each run that its own record says.
    """

    runs: Mapping[str, Path]
    asked: Mapping[str, Sequence[QuestionSet]]
    backbone: Backbone
    engine: Mapping[str, Any]
    store: Store
    record: str = ""
    trained: Mapping[str, str] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)
    made_with: Mapping[str, Any] = field(default_factory=dict)
    digests: dict[tuple[str, str], str] = field(default_factory=dict)
    _asks: dict[QuestionSet, tuple[list[Sample], list[Ask]]] = field(default_factory=dict)

    @contextmanager
    def whole(self, run: str) -> Iterator[Path]:
        """Yield a folder of a run's whole weights: an adapter is merged for as long as needed."""
        weights = self.runs[run]
        if run == BASELINE or not rank_of(weights):
            yield weights
            return
        self.store.folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="merged-", dir=self.store.folder) as folder:
            yield merge(weights, self.backbone, Path(folder) / "weights")

    def task(self, run: str) -> str:
        """Return all that `own_process.py` has to know to answer for one run, as JSON."""
        return RunTask(
            run=run,
            weights=self.runs[run],
            question_sets=self.asked[run],
            backbone=self.backbone,
            engine=dict(self.engine),
            store=self.store.folder,
            trained=self.trained.get(run, ""),
            record=self.record,
        ).model_dump_json()

    def __post_init__(self) -> None:
        question_sets = {
            question_set: question_set.digest()
            for run in self.runs
            for question_set in self.asked[run]
        }
        for run, weights in self.runs.items():
            whole = weights_digest(run, weights, self.backbone)
            for question_set in self.asked[run]:
                self.digests[run, question_set.file] = digest_of_answers(
                    whole, question_sets[question_set]
                )

    def holds(self, run: str, question_set: QuestionSet) -> bool:
        """Tell whether a run's answers on a question set are there and valid."""
        return self.store.holds(run, question_set, self.digests[run, question_set.file])

    def missing(self) -> dict[str, list[QuestionSet]]:
        """Return the runs that lack answers, with the question sets on which they lack them."""
        found = {
            run: [
                question_set
                for question_set in self.asked[run]
                if not self.holds(run, question_set)
            ]
            for run in self.runs
        }
        return {run: question_sets for run, question_sets in found.items() if question_sets}

    def asks(self, question_set: QuestionSet) -> tuple[list[Sample], list[Ask]]:
        """Return a question set's questions, each picture decoded once however many runs see it."""
        if question_set not in self._asks:
            samples = question_set.questions()
            pool = read_samples(question_set.pool) if question_set.pool else []
            asks = make_asks(samples, question_set.protocol, self.backbone, question_set.draw, pool)
            self._asks[question_set] = samples, asks
        return self._asks[question_set]

    def probe(self, run: str, engine: Engine) -> list[Reply]:
        """Return an engine's replies to some of a run's questions, to compare engines by.

        All are computed whole: what an engine has kept of them is rounded otherwise.
        """
        samples = self.asked[run][0].possible()[:_PROBES]
        engine.forget()
        return engine.ask([ask.scored() for ask in make_asks(samples, _PLAIN, self.backbone)])

    def start(self, weights: Path, question_sets: Iterable[QuestionSet], rank: int = 0) -> Engine:
        """Return a started engine that takes the prompts of these question sets."""
        pictures = max(
            (len(ask.pictures) for s in question_sets for ask in self.asks(s)[1]), default=1
        )
        self.timing.starts += 1
        with self.timing.of("start_s"):
            engine = start(weights, self.backbone, self.engine, pictures, rank)
        self.made_with = engine.made_with
        return engine

    def answer(
        self,
        run: str,
        question_sets: Iterable[QuestionSet],
        engine: Engine,
        adapter: Path | None = None,
    ) -> None:
        """Let a run that an engine holds answer its question sets; keep each when it is done.

        Those that are answered in text are asked together.
        """
        for together in self._together(question_sets):
            # Another experiment's group may have been asked the same meanwhile.
            left = [each for each in together if not self.holds(run, each)]
            if left:
                self.ask(run, left, engine, adapter)

    def ask(
        self,
        run: str,
        question_sets: Sequence[QuestionSet],
        engine: Engine,
        adapter: Path | None = None,
    ) -> None:
        """Let an engine answer question sets at once; keep a run's answers to each."""
        asks = [self.asks(each)[1] for each in question_sets]
        with self.timing.of("answer_s"):
            replies = iter(engine.ask(list(chain(*asks)), adapter))
        for question_set, own in zip(question_sets, asks, strict=True):
            self.keep(run, question_set, list(islice(replies, len(own))), engine.tokens)

    def _together(self, question_sets: Iterable[QuestionSet]) -> Iterator[list[QuestionSet]]:
        """Yield question sets that are asked at once: one, or several in text up to a number.

        A last text of many tokens leaves an engine idle else, once a question set; and what is
        asked at once is lost at once where the job is killed.
        """
        found: list[QuestionSet] = []
        size = 0
        for question_set in question_sets:
            asks = self.asks(question_set)[1]
            if found and (size + len(asks) > _TOGETHER or asks[0].wording.way != "text"):
                yield found
                found, size = [], 0
            found.append(question_set)
            size += len(asks) if asks[0].wording.way == "text" else _TOGETHER
        if found:
            yield found

    def keep(
        self,
        run: str,
        question_set: QuestionSet,
        replies: Sequence[Reply],
        tokens: Mapping[str, int],
    ) -> None:
        """Keep a run's answers to a question set, read off the replies."""
        samples, asks = self.asks(question_set)
        table = tabulate(
            run + question_set.tag,
            samples,
            asks,
            replies,
            tokens,
            view_of(self.backbone),
        )
        known = {"trained": self.trained.get(run, ""), "record": self.record}
        self.store.write(run, question_set, self.digests[run, question_set.file], table, **known)
        self.timing.questions += len(samples)
        self.timing.ties += sum(forms.of(samples[0]).is_tie(row) for row in table.to_pylist())
        print(
            f"{run}{question_set.tag} on {question_set.target}: {len(samples)} questions",
            flush=True,
        )
