"""Worlds whose answer is known: drawn as their facts say, and read as v* says.

The enumeration is a reader that knows nothing of the formula: it goes through every world that the
training data leave possible and every scene of the generator, and takes the likeliest answer.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from matcg.config.catalog import Catalog, SubsetSpec
from matcg.config.library import load
from matcg.config.project import load_project
from matcg.config.reader_options import PhantomOptions
from matcg.errors import ConfigError, DataError
from matcg.images import decode
from matcg.phantom import ideal_reader
from matcg.phantom.facts import (
    HALF,
    LOTS,
    MEANING,
    TONE,
    WORLDS,
    Facts,
    Scene,
    World,
    facts_of,
    scene_of,
)
from matcg.phantom.ideal import ideal_accuracy, shares_of, teaches
from matcg.phantom.scenes import DECOYS
from matcg.phantom.tasks import TASKS
from matcg.phantom.world import case_of, cell_of, generate, seen
from matcg.plan.enumerate import make_plan

ROOT = Path(__file__).parents[3]
CATALOGS = {name: load("catalog", ROOT / f"catalogs/known-truth-{name}.yaml") for name in WORLDS}
M, A, T = "modality", "area", "task"
# What a source shares with the target, or several do: those of a rule, of a knock-out.
SETS = [
    [set()], [{M}], [{A}], [{T}], [{M, A}], [{M, T}], [{A, T}],
    [{M, T}, {A, T}], [{T}, {A, T}], [{M, T}, {T}], [{M}, {A}, {T}], [{M, A}, {T}], [{M}, {A}],
]  # fmt: skip


def shares(*given: set[str]) -> set[frozenset[str]]:
    return {frozenset(each) for each in given}


def options(world: str, subset: SubsetSpec) -> PhantomOptions:
    return PhantomOptions.parse({**CATALOGS[world].options, **subset.options})


def draws(labels: int) -> Iterator[tuple[int, int, int]]:
    yield from product(range(labels - 1), range(2), range(LOTS))


def looks(scene: Scene) -> tuple[object, ...]:
    """Return what can be seen: the things in an order that says nothing of which is the lesion."""
    things = sorted(filter(None, {scene.lesion, scene.decoy}), key=repr)
    return (*things, scene.marked)


def enumerated(world: World, labels: int, given: Sequence[set[str]], truth: Facts) -> float:
    """Return how often the likeliest answer is right in the target, guesses counted by chance."""
    known = shares(*given)
    possible = {
        TONE: range(2) if TONE in world.facts else [truth.tone],
        HALF: range(2) if HALF in world.facts else [truth.half],
        MEANING: range(labels) if MEANING in world.facts else [truth.meaning],
    }
    for fact in world.facts:
        if teaches(world, fact, known):
            possible[fact] = [getattr(truth, fact)]
    asked = range(labels) if not any(T in each for each in known) else [0]
    votes: dict[tuple[object, ...], Counter[int]] = defaultdict(Counter)
    for tone, half, meaning, shift in product(*possible.values(), asked):
        # Training data are never reversed: what the reader believes is what sources show.
        facts = Facts(tone, half, meaning)
        for answer, drawn in product(range(labels), draws(labels)):
            seen_ = looks(scene_of(world, facts, labels, answer, drawn))
            votes[seen_][(answer + shift) % labels] += 1
    right = []
    for answer, drawn in product(range(labels), draws(labels)):
        found = votes[looks(scene_of(world, truth, labels, answer, drawn))]
        best = [label for label, n in found.items() if n == max(found.values())]
        right.append((answer in best) / len(best))
    return float(np.mean(right))


@pytest.mark.parametrize("given", SETS, ids=lambda s: "+".join("".join(sorted(e))[:9] for e in s))
@pytest.mark.parametrize("name", WORLDS)
def test_the_formula_is_what_enumeration_gives(name: str, given: list[set[str]]) -> None:
    world = WORLDS[name]
    for labels in (2, 3, 4):
        found = ideal_accuracy(world, labels, shares(*given))
        for tone, half in product(range(2), range(2)):
            truth = Facts(tone, half, labels - 1 if MEANING in world.facts else 0, world.mark)
            assert found == pytest.approx(enumerated(world, labels, given, truth), abs=1e-9)


def test_v_is_what_the_worlds_are_for() -> None:
    cg, without_area, without_modality = [{M, T}, {A, T}], [{M, T}, {T}], [{T}, {A, T}]

    def v(name: str, *given: set[str]) -> float:
        return ideal_accuracy(WORLDS[name], 2, shares(*given))

    assert v("composed", *cg) == 1
    for knocked in (without_area, without_modality, [{M}, {A}]):
        assert v("composed", *cg) - v("composed", *knocked) >= 0.2
    assert v("shared-task", {T}) == v("shared-task", *cg) == 1
    assert v("near-pair", *without_area) == v("near-pair", *cg) == 1
    assert v("near-pair", *without_modality) == 0.5
    assert {v("entangled", *each) for each in (cg, without_area, [{M, A}], [set()])} == {0.5}
    assert v("misleading", *cg) < v("misleading", set()) == 0.5


@pytest.mark.parametrize("name", WORLDS)
def test_the_two_lists_of_targets_are_apart_and_every_reported_one_has_its_mirror(
    name: str,
) -> None:
    catalog = CATALOGS[name]
    assert isinstance(catalog, Catalog)
    lists = {
        each: [s for s in catalog.subsets if s.held_out == each] for each in ("reported", "tuning")
    }
    cells = {each: {tuple(cell_of(s).values()) for s in found} for each, found in lists.items()}
    assert not cells["reported"] & cells["tuning"]
    assert {each: len(found) for each, found in cells.items()} == {"reported": 12, "tuning": 12}
    for cell in cells["reported"]:
        subsets = [s for s in lists["reported"] if tuple(cell_of(s).values()) == cell]
        labels = len(TASKS[cell[2]].labels)
        facts = [facts_of(options(name, s), cell_of(s), labels) for s in subsets]
        if not WORLDS[name].facts:
            assert len(subsets) == 1
            continue
        plain, mirror = facts
        for fact in WORLDS[name].facts:
            assert getattr(plain, fact) != getattr(mirror, fact)
        assert plain.reversed == mirror.reversed == (name == "misleading")


def test_facts_are_drawn_by_the_seed_each_of_its_own_elements() -> None:
    cells = [cell_of(s) for s in CATALOGS["composed"].subsets if s.block == "composed"]
    tones = defaultdict(set)
    for seed, cell in product(range(40), cells):
        facts = facts_of(PhantomOptions(seed=seed, world="composed"), cell, 2)
        tones[seed, cell[M]].add(facts.tone)
        tones[seed, cell[A], "half"].add(facts.half)
    assert {len(each) for each in tones.values()} == {1}
    bright = sum(next(iter(each)) for key, each in tones.items() if len(key) == 2)
    assert 0.35 < bright / 160 < 0.65


def test_the_trained_worlds_are_within_600_runs_and_each_target_has_all_arms() -> None:
    for name, runs in (("known-truth", 600), ("ideal-reader", 300), ("known-truth-small", 30)):
        plan = make_plan(load_project({"experiments": [name]}, ROOT, {}))
        assert len(plan.runs) == runs
        assert not plan.excluded
        arms = Counter((row.experiment, row.target) for row in plan.rows)
        for experiment in {row.experiment for row in plan.rows}:
            assert len({n for (of, _), n in arms.items() if of == experiment}) == 1


def subset(world: str, name: str) -> SubsetSpec:
    """Return a subset of a world's first block."""
    return next(s for s in CATALOGS[world].subsets if s.id.endswith(name))


@pytest.mark.parametrize(
    ("world", "task"), list(product(("composed", "near-pair", "misleading"), DECOYS))
)
def test_the_lesion_is_where_and_as_bright_as_the_facts_say(world: str, task: str) -> None:
    """A side's mean grey is that of the thing there: the sides tell tones, the halves places."""
    spec = subset(world, f"mri-breast-{task.lower()}")
    given, cell = options(world, spec), cell_of(spec)
    facts = facts_of(given, cell, len(TASKS[task].labels))
    found = list(generate(spec, {**CATALOGS[world].options, **spec.options}, "test", 24))
    for index, sample in enumerate(found):
        picture = np.asarray(decode(sample.image, "").convert("L")).astype(float)
        scene = seen(WORLDS[world], facts, case_of(spec, given, "test", index))
        assert sample.label == TASKS[task].labels[scene.answer]
        assert scene.decoy
        assert scene.decoy.label != scene.lesion.label
        dark, bright = (picture < 40).sum(), (picture > 210).sum()
        tones = {scene.lesion.tone, scene.decoy.tone}
        assert (dark > 12, bright > 12) == (0 in tones, 1 in tones)
        marked = max(picture[:, :2].max(), picture[:, -2:].max()) > 225
        assert marked == (world == "misleading")


def test_labels_of_the_entangled_world_are_shifted() -> None:
    spec = subset("entangled", "ct-knee-side")
    given = options("entangled", spec)
    shifted = facts_of(given, cell_of(spec), 2).meaning
    for sample in generate(spec, {**CATALOGS["entangled"].options, **spec.options}, "test", 12):
        picture = np.asarray(decode(sample.image, "").convert("L")).astype(float)
        plain = list(generate(spec, {"seed": 0}, "test", 12))[int(sample.sample_id[-5:])]
        same = np.array_equal(picture, np.asarray(decode(plain.image, "").convert("L")))
        assert plain.label == sample.label
        assert same == (shifted == 0)


def test_what_a_world_has_not_is_refused() -> None:
    spec = load("catalog", ROOT / "catalogs/phantom.yaml").subset("ct-brain-state")
    with pytest.raises(ConfigError, match="ct-brain-state': world composed has no task State"):
        next(generate(spec, {"world": "composed"}, "train", 1))
    with pytest.raises(ConfigError, match=r"world: 'composd' must be.*'composed'"):
        next(generate(spec, {"world": "composd"}, "train", 1))


def answered(world: str, target: str, sources: list[str], folder: Path, n: int = 144) -> float:
    """Return the share of a target's test questions that the reader's commands answer rightly."""
    spec = CATALOGS[world].subset(target)
    samples = list(generate(spec, {**CATALOGS[world].options, **spec.options}, "test", n))
    data, out = folder / "data", folder / "weights"
    data.mkdir()
    out.mkdir()
    (data / "settings.json").write_text(json.dumps({"seed": 3, "recipe": {}}))
    write(data / "messages.jsonl", [{"id": f"{name}/train/00000"} for name in sources])
    write(folder / "questions.jsonl", [{"id": f"{i}:{s.sample_id}"} for i, s in enumerate(samples)])
    ideal_reader.main(["train", str(data), str(out)])
    ideal_reader.main(["answer", str(out), str(folder / "questions.jsonl"), str(folder / "said")])
    said = [json.loads(line)["text"] for line in (folder / "said").read_text().splitlines()]
    return float(np.mean([text == s.label for text, s in zip(said, samples, strict=True)]))


def write(file: Path, rows: list[dict[str, str]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


SOURCES = {
    "cg": ["ct-lung-side", "us-knee-side"],
    "without modality": ["mri-lung-side", "us-knee-side"],
    "without area": ["ct-lung-side", "mri-lung-side"],
    "unrelated": ["us-lung-level", "mri-brain-diseases"],
}


@pytest.mark.parametrize(("world", "arm"), list(product(WORLDS, SOURCES)))
def test_the_reader_answers_as_v_says(world: str, arm: str, tmp_path: Path) -> None:
    target = subset(world, "ct-knee-side")
    sources = [subset(world, name) for name in SOURCES[arm]]
    found = answered(world, target.id, [s.id for s in sources], tmp_path)
    given = shares_of(cell_of(target), [cell_of(s) for s in sources])
    expected = ideal_accuracy(WORLDS[world], 2, given)
    assert found == pytest.approx(expected, abs=0.12)  # three standard errors of 144 guesses
    if expected == 1:
        assert found == 1


def test_the_untrained_reader_guesses_and_knows_no_other_world(tmp_path: Path) -> None:
    weights = ROOT / "backbones/ideal-reader"
    write(
        tmp_path / "questions", [{"id": f"0:composed-ct-knee-side/test/{i:05d}"} for i in range(99)]
    )
    ideal_reader.answer(weights, tmp_path / "questions", tmp_path / "said")
    said = [json.loads(line)["text"] for line in (tmp_path / "said").read_text().splitlines()]
    assert set(said) == {"left", "right"}
    write(tmp_path / "questions", [{"id": "0:ct-knee-side/test/00001"}])
    with pytest.raises(DataError, match=r"'ct-knee-side'.*known-truth"):
        ideal_reader.answer(weights, tmp_path / "questions", tmp_path / "said")
