"""The phantom world: as many labelled samples of a subset as asked for, from a seed.

Sample number i of a subset and split depends on nothing but the seed, the subset, the split and i.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

import numpy as np
from PIL import Image

from matcg.config.catalog import SubsetSpec
from matcg.coordinates import NONE
from matcg.errors import ConfigError, nearest
from matcg.phantom.anatomy import AREAS
from matcg.phantom.lesions import KINDS, LESION, LEVELS, SIDES, Integers, Lesions, findings
from matcg.phantom.render import MODALITIES, render
from matcg.phantom.strength import SIZE
from matcg.samples import CHOICE, Finding, Sample
from matcg.seeds import derive

SplitName = Literal["train", "test"]

BATCH = 16


@dataclass(frozen=True, slots=True)
class Task:
    """A question about a lesion: the labels to choose from and the wordings of the question.

    Where lesions are to be pointed at, one of `healthy` pictures has none; else that is 0.
    """

    labels: tuple[str, ...]
    questions: tuple[str, ...]
    healthy: int = 0


TASKS: Mapping[str, Task] = {
    "State": Task(
        ("healthy", "abnormal"),
        (
            "What is the state of the tissue in this image?",
            "How would you judge the overall condition shown here?",
            "Which state does this scan show?",
            "Please assess the condition of the organ in the picture.",
            "Decide on the state of this examination.",
            "What does the image say about the condition of the patient?",
        ),
    ),
    "Level": Task(
        LEVELS,
        (
            "What is the level of the finding in this image?",
            "How far has the finding progressed?",
            "Which grade would you give to what is seen here?",
            "Please grade the extent of the finding in the picture.",
            "Decide on the stage that this scan shows.",
            "To what degree is the organ affected?",
        ),
    ),
    "Diseases": Task(
        KINDS,
        (
            "Which disease is seen in this image?",
            "What kind of finding does this scan show?",
            "Please name the disease in the picture.",
            "Which diagnosis fits what is seen here?",
            "Identify the type of the finding.",
            "What is the most likely disease of this patient?",
        ),
    ),
    "Side": Task(
        SIDES,
        (
            "On which side of the image is the finding?",
            "Where does the finding lie?",
            "Which side of the picture is affected?",
            "Please locate the finding in this scan.",
            "Decide on the side that shows the finding.",
            "In which part of the image is the organ affected?",
        ),
    ),
    "Detection": Task(
        (LESION,),
        (
            "Where exactly is the lesion in this image?",
            "Please mark the lesion in the picture.",
            "Which part of the scan does the lesion take up?",
            "Find the lesion in this examination.",
            "Give the place of the lesion, if the patient has one.",
            "Is there a lesion here, and where?",
        ),
        healthy=5,
    ),
    "Segmentation": Task(
        (LESION,),
        (
            "Please outline the lesion in this image.",
            "Which area of the picture belongs to the lesion?",
            "Trace the extent of the lesion in the scan.",
            "Segment the lesion in this examination.",
            "Give the outline of the lesion, if the patient has one.",
            "Is there a lesion here, and what is its shape?",
        ),
        healthy=5,
    ),
}


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
    modality = _value(subset, "modality", MODALITIES)
    area = _value(subset, "area", AREAS)
    task = _value(subset, "task", TASKS)
    if (subset.form_of_answer == CHOICE) == (TASKS[task].healthy > 0):
        raise ConfigError(f"subset '{subset.id}': kind {subset.kind} does not fit task {task}")
    base = derive(_seed(subset, options), "phantom", subset.id, split)
    cases = (_case(base, TASKS[task], index) for index in range(n))
    while batch := list(islice(cases, BATCH)):
        seeds = np.array([case.seed for case in batch], dtype=np.uint64)
        lesions = _lesions(task, batch)
        pictures = render(modality, area, lesions, seeds)
        samples = [
            _sample(subset, split, case, Image.fromarray(picture))
            for case, picture in zip(batch, pictures, strict=True)
        ]
        pointed = TASKS[task].healthy > 0
        yield from map(_pointed, samples, findings(lesions, area, seeds)) if pointed else samples


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


def _seed(subset: SubsetSpec, options: Mapping[str, Any]) -> int:
    for name in options:
        if name != "seed":
            raise ConfigError(
                f"subset '{subset.id}': the phantom world has no option '{name}'."
                + nearest(name, ["seed"])
            )
    seed = options.get("seed", 0)
    if type(seed) is not int:
        raise ConfigError(f"subset '{subset.id}': seed '{seed}' must be a whole number")
    return seed


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


def _lesions(task: str, cases: Sequence[SampleTruth]) -> Lesions:
    """Return the lesions of a batch: the task's attribute by label, the others free."""

    def attribute(name: str, values: Sequence[str]) -> Integers:
        if name == task:
            drawn = [case.label for case in cases]
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
