"""Answers of a group of runs of one backbone to all that they are asked, from one engine.

Runs with adapters share an engine that holds the backbone, which answers for itself as well. Whole
weights are swapped into a running engine, once a probe has shown that they answer there as in an
engine of their own (`own_process.py`).
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from matcg import identity, told, versions
from matcg.evaluate.adapters import must_merge, rank_of
from matcg.evaluate.engine import Engine
from matcg.evaluate.group import Group
from matcg.evaluate.own_process import in_other_process, in_own_engine
from matcg.evaluate.question_sets import QuestionSet
from matcg.models.identity import settings
from matcg.models.weights import check_whole
from matcg.plan.records import BASELINE
from matcg.provenance import begin, describe, device_name

# Log-probabilities of the same weights differ by rounding alone, where heads are in float32.
ROUNDING = {"float32": 1e-3, "bfloat16": 0.05}


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
    engine = dict(group.made_with)  # of the last that was started: all of a job are alike
    made = describe(**times, seconds=seconds, device=device_name(bool(missing)), engine=engine)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({**made, "answers": answered(group)}) + "\n", encoding="utf-8")


def in_turn(group: Group, missing: Mapping[str, Sequence[QuestionSet]]) -> None:
    """Answer for each run by the backbone's own command, which is given all questions at once."""
    for run, question_sets in missing.items():
        group.ask(run, question_sets, group.start(group.runs[run], question_sets))


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


def swaps_well(group: Group, engine: Engine, run: str, fresh: Sequence[tuple[float, ...]]) -> bool:
    """Tell whether a run whose weights are swapped in answers as it does in a fresh engine."""
    with group.whole(run) as weights:
        _swap(group, engine, weights)
        replies = group.probe(run, engine)
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
