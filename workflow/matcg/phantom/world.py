"""The phantom world: as many labelled samples of a subset as asked for, from a seed.

Sample number i of a subset and split depends on nothing but the seed, the subset, the split and i.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, Literal

import numpy as np
from PIL import Image

from matcg.config.catalog import SubsetSpec
from matcg.config.reader_options import PhantomOptions
from matcg.coordinates import NONE
from matcg.errors import ConfigError, nearest
from matcg.phantom.anatomy import AREAS
from matcg.phantom.facts import SHARED_TASK, WORLDS, Facts, Scene, World, facts_of, scene_of
from matcg.phantom.lesions import KINDS, LEVELS, SIDES, Integers, Lesions, findings
from matcg.phantom.render import MODALITIES, render
from matcg.phantom.scenes import DECOYS, render_scenes
from matcg.phantom.strength import SIZE
from matcg.phantom.tasks import TASKS, Task
from matcg.samples import CHOICE, Finding, Sample
from matcg.seeds import derive

SplitName = Literal["train", "test"]

BATCH = 16
ELEMENTS = ("modality", "area", "task")


@dataclass(frozen=True, slots=True)
class SampleTruth:
    """The truth of one sample: what is in the picture, and how the question is put."""

    index: int
    seed: int
    label: int
    position: int
    question: str
    options: tuple[str, ...]
    present: bool


def generate(
    subset: SubsetSpec, options: Mapping[str, Any], split: SplitName, n: int
) -> Iterator[Sample]:
    """Yield the first `n` samples of a split, labels and answer positions evenly interleaved.

    Raises:
        ConfigError: an option or an element's value that this world does not have, or a kind that
            is not the task's.
    """
    given = _options(subset, options)
    cell = cell_of(subset)
    modality, area, task = (cell[element] for element in ELEMENTS)
    if (subset.form_of_answer == CHOICE) == (TASKS[task].healthy > 0):
        raise ConfigError(f"subset '{subset.id}': kind {subset.kind} does not fit task {task}")
    world = WORLDS[given.world or SHARED_TASK]
    if world.facts and task not in DECOYS:
        raise ConfigError(
            f"subset '{subset.id}': world {given.world} has no task {task}, only {sorted(DECOYS)}"
        )
    facts = facts_of(given, cell, len(TASKS[task].labels))
    cases = (case_of(subset, given, split, index) for index in range(n))
    while batch := list(islice(cases, BATCH)):
        seeds = np.array([case.seed for case in batch], dtype=np.uint64)
        scenes = [seen(world, facts, case) for case in batch]
        lesions = _lesions(task, batch, scenes)
        draw = partial(render_scenes, task, scenes) if world.ways else render
        pictures = draw(modality, area, lesions, seeds)
        samples = [
            _sample(subset, split, case, Image.fromarray(picture))
            for case, picture in zip(batch, pictures, strict=True)
        ]
        pointed = TASKS[task].healthy > 0
        yield from map(_pointed, samples, findings(lesions, area, seeds)) if pointed else samples


def cell_of(subset: SubsetSpec) -> dict[str, str]:
    """Return the one value that a subset has of each element.

    Raises:
        ConfigError: it has another number of values, or one that this world does not have.
    """
    known = zip(ELEMENTS, (MODALITIES, AREAS, TASKS), strict=True)
    return {element: _value(subset, element, values) for element, values in known}


def _value(subset: SubsetSpec, element: str, known: Mapping[str, object]) -> str:
    values = tuple(subset.elements.get(element, ()))
    if len(values) != 1:
        raise ConfigError(f"subset '{subset.id}': the phantom world needs exactly one {element}")
    if values[0] not in known:
        raise ConfigError(
            f"subset '{subset.id}': the phantom world has no {element} '{values[0]}'."
            + nearest(values[0], known)
        )
    return values[0]


def _options(subset: SubsetSpec, options: Mapping[str, Any]) -> PhantomOptions:
    try:
        return PhantomOptions.parse(options)
    except ConfigError as error:
        raise ConfigError(f"subset '{subset.id}': {error}") from None


def case_of(
    subset: SubsetSpec, options: PhantomOptions, split: SplitName, index: int
) -> SampleTruth:
    """Return the truth of a sample by its number."""
    task = TASKS[next(iter(subset.elements["task"]))]
    return _case(derive(options.seed, "phantom", subset.id, split), task, index)


def seen(world: World, facts: Facts, case: SampleTruth) -> Scene:
    """Return what is to be seen in a sample's picture."""
    which, way, lot = (derive(case.seed, name) for name in ("decoy", "way", "mark"))
    return scene_of(world, facts, len(case.options), case.label, (which, way, lot))


def _case(base: int, task: Task, index: int) -> SampleTruth:
    """Return case number `index`.

    Of k labels, each k consecutive samples hold every label and every answer position once, each
    k * k every pair of them.
    """
    k = len(task.labels)
    block, row, column = index // (k * k), index // k % k, index % k
    label = _shuffled(derive(base, "labels", block, row), k)[column]
    shifts = _shuffled(derive(base, "shifts", block), k)
    places = _shuffled(derive(base, "places", block), k)
    position = (places[label] + shifts[row]) % k
    seed = derive(base, "sample", index)
    others = [name for name in task.labels if name != task.labels[label]]
    order = [others[i] for i in _shuffled(derive(seed, "options"), k - 1)]
    order.insert(position, task.labels[label])
    question = task.questions[derive(seed, "question") % len(task.questions)]
    h = task.healthy
    present = not h or _shuffled(derive(base, "healthy", index // h), h)[index % h] > 0
    return SampleTruth(index, seed, label, position, question, tuple(order), present)


def _shuffled(seed: int, count: int) -> list[int]:
    """Return 0 .. count - 1 in an order drawn by a seed (Fisher-Yates)."""
    items = list(range(count))
    for last in range(count - 1, 0, -1):
        seed, other = divmod(seed, last + 1)
        items[last], items[other] = items[other], items[last]
    return items


def _lesions(task: str, cases: Sequence[SampleTruth], scenes: Sequence[Scene]) -> Lesions:
    """Return the lesions of a batch: the task's attribute by label, the others free."""

    def attribute(name: str, values: Sequence[str]) -> Integers:
        if name == task:
            drawn = [each.lesion.label for each in scenes]
        else:
            drawn = [derive(case.seed, name) % len(values) for case in cases]
        return np.array(drawn, dtype=np.int64)

    present = [int(case.present and (task != "State" or case.label == 1)) for case in cases]
    return Lesions(
        present=np.array(present, dtype=np.int64),
        kind=attribute("Diseases", KINDS),
        level=attribute("Level", LEVELS),
        side=attribute("Side", SIDES),
    )


def _sample(
    subset: SubsetSpec, split: SplitName, case: SampleTruth, picture: Image.Image
) -> Sample:
    file = io.BytesIO()
    picture.save(file, format="PNG", compress_level=6)
    name = f"{subset.id}/{split}/{case.index:05d}"
    return Sample(
        sample_id=name,
        subset=subset.id,
        image=file.getvalue(),
        fingerprint="",
        origin=f"phantom/{name}.png",
        question=case.question,
        options=case.options,
        answer=case.position,
        label=case.options[case.position],
        dataset=next(iter(subset.datasets), "phantom"),
        group=name,
        form=subset.form_of_answer,
    )


def _pointed(sample: Sample, found: tuple[Finding, ...]) -> Sample:
    """Return a sample with what is to be found in it."""
    label = found[0].label if found else NONE
    return replace(sample, findings=found, size=(SIZE, SIZE), answer=0, label=label)
