"""Answers of a group of runs of one backbone to all that they are asked, from one engine.

Runs with adapters share an engine that holds the backbone, which answers for itself as well. Whole
weights are swapped into a running engine, once a probe has shown that they answer there as in an
engine of their own (`own_process.py`).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydantic import BaseModel

from matcg import identity, told, versions
from matcg.config.backbone import Backbone
from matcg.config.protocol import DEFAULT_PROTOCOL, Protocol
from matcg.errors import ConfigError, DataError, MatcgError, ResourceError
from matcg.evaluate.adapters import merge, must_merge, rank_of
from matcg.evaluate.engine import Engine
from matcg.evaluate.kept_answers import Store, digest_of_answers
from matcg.evaluate.question_sets import QuestionSet, first_questions, weights_digest
from matcg.evaluate.requests import Ask, make_asks, tabulate
from matcg.evaluate.start import prepare_engine, start
from matcg.evaluate.timing import Timing
from matcg.forms import Reply
from matcg.models.identity import settings
from matcg.models.prompts import view_of
from matcg.models.weights import check_whole
from matcg.plan.records import BASELINE
from matcg.provenance import begin, describe, device_name
from matcg.samples import Sample, read_samples

ERROR_KINDS = {kind.__name__: kind for kind in (MatcgError, ConfigError, DataError, ResourceError)}
_PLAIN = Protocol(name=DEFAULT_PROTOCOL)
_PROBES = 16  # questions that a check of an engine asks
# Log-probabilities of the same weights differ by rounding alone: by one step of a logit near 32.
ROUNDING = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.3}


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
            samples = first_questions(read_samples(question_set.test), question_set.protocol)
            pool = read_samples(question_set.pool) if question_set.pool else []
            asks = make_asks(samples, question_set.protocol, self.backbone, question_set.draw, pool)
            self._asks[question_set] = samples, asks
        return self._asks[question_set]

    def probe(self, run: str) -> list[Ask]:
        """Return some of a run's questions, asked for probabilities, to compare engines by."""
        samples = read_samples(self.asked[run][0].test)[:_PROBES]
        return [ask.scored() for ask in make_asks(samples, _PLAIN, self.backbone)]

    def start(self, weights: Path, question_sets: Iterable[QuestionSet], rank: int = 0) -> Engine:
        """Return a started engine that takes the prompts of these question sets."""
        pictures = max(
            (len(ask.pictures) for s in question_sets for ask in self.asks(s)[1]), default=1
        )
        self.timing.starts += 1
        with self.timing.of("start_s"):
            return start(weights, self.backbone, self.engine, pictures, rank)

    def answer(
        self,
        run: str,
        question_sets: Iterable[QuestionSet],
        engine: Engine,
        adapter: Path | None = None,
    ) -> None:
        """Let a run that an engine holds answer its question sets; keep each when it is done."""
        for question_set in question_sets:
            if self.holds(run, question_set):
                continue  # another experiment's group was asked the same meanwhile
            with self.timing.of("answer_s"):
                replies = engine.ask(self.asks(question_set)[1], adapter)
            self.keep(run, question_set, replies, engine.tokens)

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
        print(
            f"{run}{question_set.tag} on {question_set.target}: {len(samples)} questions",
            flush=True,
        )


def predict(group: Group, out: Path) -> None:
    """Let every run of a group answer what it is asked, and keep the answers by run and target.

    The record in `out` has what engines did and what made the answers. "baseline" is the backbone
    itself.

    Raises:
        DataError: a picture, prompt, weight file or adapter cannot be used, or a run is another
            than its folder stands for; names it.
        ResourceError: memory did not suffice, or an engine's process was killed.
    """
    begin()
    begun = time.perf_counter()
    group.trained = {run: trained_digest(group.runs[run]) for run in group.runs if run != BASELINE}
    missing = group.missing()
    describe_folders(group)
    (in_turn if group.backbone.commands else from_weights)(group, missing)
    print(group.timing.describe(), flush=True)
    seconds = round(time.perf_counter() - begun, 2) if missing else 0.0
    times = {name: round(value, 2) for name, value in asdict(group.timing).items()}
    made = describe(**times, seconds=seconds, device=device_name(bool(missing)))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({**made, "answers": answered(group)}) + "\n", encoding="utf-8")


def in_turn(group: Group, missing: Mapping[str, Sequence[QuestionSet]]) -> None:
    """Answer for each run by the backbone's own command, which is given all questions at once."""
    for run, question_sets in missing.items():
        engine = group.start(group.runs[run], question_sets)
        asks = [group.asks(each)[1] for each in question_sets]
        with group.timing.of("answer_s"):
            replies = iter(engine.ask(list(chain(*asks))))
        for question_set, own in zip(question_sets, asks, strict=True):
            group.keep(run, question_set, list(islice(replies, len(own))), engine.tokens)


def from_weights(group: Group, missing: Mapping[str, Sequence[QuestionSet]]) -> None:
    """Answer for runs whose weights engines load: adapters in one, whole weights by turns."""
    ranks = {run: 0 if run == BASELINE else rank_of(group.runs[run]) for run in missing}
    adapted = {run for run, rank in ranks.items() if rank and not must_merge(group.runs[run])}
    for run in missing:
        # Before an engine starts, and not when it comes to the run.
        if not ranks[run]:
            check_whole(group.runs[run], group.backbone)
    shared = adapted | {BASELINE} if adapted else set()
    with_adapters(group, {run: missing[run] for run in missing if run in shared}, ranks)
    with_whole_weights(group, {run: missing[run] for run in missing if run not in shared})


def describe_folders(group: Group) -> None:
    """Say in the folders of answers what their names stand for."""
    backbone, folder = group.backbone, group.store.folder
    asked = f"backbone {settings(backbone)} asked with {backbone.asked()}"
    identity.describe_folder(folder, f"Answers of {asked}, version {versions.PREDICT}")
    for run in group.runs:
        if run != BASELINE:
            trained = group.runs[run].parent
            for place, of in zip((folder / run).parents[:2], trained.parents[:2], strict=True):
                identity.describe_folder(
                    place, f"Answers of the runs in {of}: see {identity.ABOUT} there"
                )


def trained_digest(weights: Path) -> str:
    """Return the digest of a run that the record beside its weights gives.

    Raises:
        DataError: there is no record, or one of another run.
    """
    record = told.run_record(weights.parent)
    told.check_place(weights, weights.parent, str(record.get("place", "")))
    return str(record.get("run", ""))


def answered(group: Group) -> dict[str, str]:
    """Return the digest of each file of answers that the group was to give."""
    return {
        f"{run}/{question_set.file}": group.digests[run, question_set.file]
        for run in group.runs
        for question_set in group.asked[run]
    }


def with_adapters(
    group: Group, missing: Mapping[str, Sequence[QuestionSet]], ranks: Mapping[str, int]
) -> None:
    """Answer for the backbone and for runs that are adapters to it, in one engine."""
    if not missing:
        return
    rank = max(ranks[run] for run in missing)
    base = Path(group.backbone.weights)
    engine = group.start(
        base, (s for question_sets in missing.values() for s in question_sets), rank
    )
    for run, question_sets in missing.items():
        group.answer(run, question_sets, engine, None if run == BASELINE else group.runs[run])
    engine.close()


def with_whole_weights(group: Group, missing: Mapping[str, Sequence[QuestionSet]]) -> None:
    """Answer for runs with weights of their own: all but the last take turns in one engine.

    The last answers in an engine of its own, in another process, since a device need not hold two.
    It is then swapped into the shared one: where it answers otherwise there, so would all.
    """
    if not missing:
        return
    *others, last = missing
    if not others:
        in_own_engine(group, last, missing[last])
        return
    fresh = in_other_process(group, last)
    first, *rest = others
    question_sets = [question_set for run in others for question_set in missing[run]]
    with group.whole(first) as weights:
        engine = group.start(weights, question_sets)
        group.answer(first, missing[first], engine)
    if rest and not swaps_well(group, engine, last, fresh):
        engine.close()
        for run in rest:
            in_other_process(group, run)
        return
    for run in rest:
        with group.whole(run) as weights:
            _swap(group, engine, weights)
            group.answer(run, missing[run], engine)
    engine.close()


def in_own_engine(group: Group, run: str, question_sets: Sequence[QuestionSet]) -> list[Reply]:
    """Answer for one run in an engine that is started for it; return its replies to the probe."""
    with group.whole(run) as weights:
        engine = group.start(weights, question_sets)
        group.answer(run, question_sets, engine)
        replies = engine.ask(group.probe(run))
        engine.close()
    return replies


def in_other_process(group: Group, run: str) -> list[tuple[float, ...]]:
    """Do the same in another process; return the probe's log-probabilities.

    Raises:
        MatcgError: as `predict`.
        ResourceError: the process was killed.
    """
    with TemporaryDirectory() as folder:
        task, result = (Path(folder) / f"{name}.json" for name in ("task", "result"))
        task.write_text(group.task(run), encoding="utf-8")
        command = [sys.executable, "-m", "matcg.evaluate.own_process", str(task), str(result)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        with subprocess.Popen(command, env=environment) as process:
            prepare_engine(group.backbone)  # the shared engine comes next, and starts sooner so
        told = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
    if "error" in told:
        raise ERROR_KINDS[told["kind"]](told["error"])
    if process.returncode or "probe" not in told:
        raise ResourceError(
            f"the engine of run {run} ended (exit status {process.returncode}); what had been"
            " answered is kept. Its last words are above in the log"
        )
    group.timing.add(told["timing"])
    return [tuple(row) for row in told["probe"]]


def swaps_well(group: Group, engine: Engine, run: str, fresh: Sequence[tuple[float, ...]]) -> bool:
    """Tell whether a run whose weights are swapped in answers as it does in a fresh engine."""
    with group.whole(run) as weights:
        _swap(group, engine, weights)
        replies = engine.ask(group.probe(run))
    largest = max(
        float(np.abs(np.subtract(reply.logprobs, expected)).max())
        for reply, expected in zip(replies, fresh, strict=True)
    )
    print(f"swapped in, {run} differs by {largest:.2g} from an engine of its own", flush=True)
    if largest <= ROUNDING[group.backbone.dtype]:
        return True
    print("this engine does not take other weights: each run gets its own", flush=True)
    return False


def _swap(group: Group, engine: Engine, weights: Path) -> None:
    """Swap weights into a running engine."""
    group.timing.loads += 1
    with group.timing.of("load_s"):
        engine.load(weights)
