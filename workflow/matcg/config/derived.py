"""Subsets that a catalog derives from those it has: their pictures, asked what is certain."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from matcg.config.base import Model, Name, Natural, Slug, Text, Words
from matcg.errors import nearest
from matcg.words import as_id

READER = "derived"
# What a picture is made into, in the words of the options, and how it is asked.
CHANGES = {
    "orientation": (
        "upright",
        "turned a quarter clockwise",
        "upside down",
        "turned a quarter anticlockwise",
    ),
    "quality": ("sharp", "blurred", "noisy", "low contrast"),
}
QUESTIONS = {
    "orientation": (
        "Which way up is this picture?",
        "How was this image turned?",
        "In which orientation is the picture shown?",
    ),
    "quality": (
        "What is the quality of this picture?",
        "Which of these describes how this image looks?",
        "How good is this picture, or what is wrong with it?",
    ),
}
ASKED = (
    "Which {element} does this picture show?",
    "What is the {element} of this image?",
    "Name the {element} that is seen here.",
)


def _named(given: Any) -> Any:
    """Let a list of tasks stand for their own names as values."""
    if isinstance(given, list | tuple):
        return {each: each.capitalize() if isinstance(each, str) else each for each in given}
    return given


class Derived(Model):
    """Which tasks are derived for all subsets, each for every combination of the other elements.

    Pictures are of all subsets that share these values.
    """

    tasks: Annotated[
        dict[Slug, Text],
        BeforeValidator(_named, json_schema_input_type=tuple[Slug, ...] | dict[Slug, Text]),
        Field(min_length=1),
    ] = Field(
        description="orientation, quality, or elements other than the last, which are then asked"
        " for; {task: VALUE} says what the last element calls it, left out: Orientation and so on"
    )
    also: dict[Slug, Words] = Field(
        default={}, description="{element: [values]}: wrong options that no subset has"
    )
    seed: Natural = Field(default=42, description="of noise, options and wordings")


def _as_tasks(given: Any) -> Any:
    """Let a list stand for its tasks with nothing besides."""
    return {"tasks": given} if isinstance(given, list) else given


DerivedAsGiven = Annotated[
    Derived, BeforeValidator(_as_tasks, json_schema_input_type=tuple[Slug, ...] | Derived)
]


class _Base(BaseModel):
    """What of a listed subset matters here; what is wrong with it is said elsewhere."""

    id: str
    elements: dict[str, Words]
    block: Name | None = None
    datasets: Words = ()


def derived_subsets(
    given: Any, elements: Sequence[str], listed: Sequence[Any]
) -> list[dict[str, Any]]:
    """Return the derived subsets as a file would list them; none where the file is wrong.

    The last element is that of the tasks. A subset with several values of an element is not asked
    for it.

    Raises:
        ValueError: a task that there is not or that subsets have already, or no wrong option.
    """
    try:
        derived = Derived.model_validate(_as_tasks(given))
        bases = [_Base.model_validate(each) for each in listed]
    except ValidationError:
        return []
    *others, last = elements
    _check(derived, others, last, bases)
    alike: dict[tuple[Any, ...], list[_Base]] = {}
    for each in bases:
        values = tuple(tuple(sorted(each.elements.get(name, ()))) for name in others)
        if all(values):
            alike.setdefault((each.block, *values), []).append(each)
    found: list[dict[str, Any]] = []
    taken = {each.id.casefold() for each in bases}
    for (block, *known), sources in alike.items():
        shared: dict[str, tuple[str, ...]] = dict(zip(others, known, strict=True))
        for task, value in derived.tasks.items():
            options = _options(derived, task, shared, bases)
            if options is None:
                continue
            parts = [*([block] if block else []), *("-".join(v) for v in known), value]
            found.append(
                {
                    "id": as_id(parts, taken),
                    "reader": READER,
                    "block": block,
                    "datasets": sorted({name for each in sources for name in each.datasets}),
                    "asks": None if task in CHANGES else task,
                    "elements": {**shared, last: (value,)},
                    "options": {**options, "of": [each.id for each in sources]},
                }
            )
            taken.add(found[-1]["id"])
    return found


def _check(derived: Derived, others: Sequence[str], last: str, bases: Sequence[_Base]) -> None:
    valid = [*CHANGES, *others]
    for key, names in (("tasks", derived.tasks), ("also", derived.also)):
        for name in names:
            if name not in (valid if key == "tasks" else others):
                raise ValueError(f"derived.{key}: there is no '{name}'.{nearest(name, valid)}")
    for task, value in derived.tasks.items():
        for each in bases:
            if value in each.elements.get(last, ()):
                raise ValueError(
                    f"derived.tasks: subset '{each.id}' has the {last} '{value}' already; call the"
                    f" derived one otherwise, as in `tasks: {{{task}: Derived {value.lower()}}}`"
                )
        if task not in CHANGES and len(choices := _choices(derived, task, bases)) < 2:
            raise ValueError(
                f"derived.tasks: '{task}' has one answer in this catalog, {choices}; name wrong"
                f" ones, as in `also: {{{task}: [...]}}`, or leave the task out"
            )


def _choices(derived: Derived, element: str, bases: Sequence[_Base]) -> list[str]:
    """Return the values of an element, as subsets have them, and those named besides."""
    had = {value for each in bases for value in each.elements.get(element, ())}
    return sorted(had | set(derived.also.get(element, ())))


def _options(
    derived: Derived, task: str, shared: Mapping[str, tuple[str, ...]], bases: Sequence[_Base]
) -> dict[str, Any] | None:
    """Return the options of the reader for a task; None where no answer would be certain."""
    if task in CHANGES:
        words = CHANGES[task]
        known: dict[str, Any] = {"change": task, "labels": list(words), "choices": list(words)}
    elif len(shared[task]) > 1:
        return None
    else:
        known = {"labels": list(shared[task]), "choices": _choices(derived, task, bases)}
    questions = QUESTIONS.get(task) or [each.format(element=task) for each in ASKED]
    return {**known, "questions": list(questions), "seed": derived.seed}
