"""Worlds whose answer is known: which facts decide an answer, and what they are in a subset.

Where facts decide, a picture shows a lesion and a decoy of another label. A fact is of the values
of some elements, and any data with these values teach it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from matcg.config.reader_options import PhantomOptions
from matcg.seeds import derive

# Lesions are bright or dark, in the upper or the lower half: what a decoy differs by.
TONE, HALF = "tone", "half"
MEANING = "meaning"  # of labels: by how many places they are shifted
SHARED_TASK = "shared-task"  # also what is drawn where no world is named
AGREES = (
    19  # of 20 pictures in which a mark is beside the lesion, or in the target beside the decoy
)
LOTS = 20

Cell = Mapping[str, str]  # the value of each element


@dataclass(frozen=True, slots=True)
class World:
    """The elements of each fact that decides, and whether a mark goes with the label.

    A decoy differs from the lesion by one of tone and half, by each equally often.
    """

    facts: Mapping[str, tuple[str, ...]]
    mark: bool = False

    @property
    def ways(self) -> tuple[str, ...]:
        """Return the facts by which decoys differ; there are none where nothing but lesions is."""
        return tuple(name for name in (TONE, HALF) if name in self.facts)


WORLDS: Mapping[str, World] = {
    "composed": World({TONE: ("modality",), HALF: ("area",)}),
    SHARED_TASK: World({}),
    "near-pair": World({TONE: ("modality", "task")}),
    "entangled": World({MEANING: ("modality", "area", "task")}),
    "misleading": World({TONE: ("modality", "area", "task")}, mark=True),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What holds in a subset: a lesion's tone and half (0 or 1) and the shift of its labels."""

    tone: int = 0
    half: int = 0
    meaning: int = 0
    reversed: bool = False


def facts_of(options: PhantomOptions, cell: Cell, labels: int) -> Facts:
    """Return the facts of a subset whose question has so many labels.

    They are drawn by the seed, a fact for each of the values that it is of. Turned round where one
    of these is in `mirror`: bright is then dark, upper lower, and labels are shifted further.
    """
    found = {}
    for name, elements in WORLDS[options.world or SHARED_TASK].facts.items():
        values = [cell[element] for element in elements]
        most = labels if name == MEANING else 2
        turned = most // 2 * bool(options.mirror & set(values))
        found[name] = (derive(options.seed, name, *values) + turned) % most
    target = any(each <= set(cell.values()) for each in options.reversed)
    return Facts(**found, reversed=target)


class Thing(NamedTuple):
    """A lesion or a decoy: its label, tone and half; no half where it may lie in any."""

    label: int
    tone: int
    half: int | None


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be seen in a picture, and the label that counts as right."""

    answer: int
    lesion: Thing
    decoy: Thing | None = None
    marked: Thing | None = None  # what a mark is beside


def scene_of(
    world: World, facts: Facts, labels: int, answer: int, draws: tuple[int, int, int]
) -> Scene:
    """Return the scene of which `answer` is right.

    `draws` are whole numbers: for the decoy's label among the others, for what it differs by, and
    for what the mark is beside; of each the rest by the number of cases counts.
    """
    which, way, lot = draws
    half = facts.half if HALF in world.facts else None
    lesion = Thing((answer - facts.meaning) % labels, facts.tone, half)
    if not world.ways:
        return Scene(answer, lesion)
    other = (lesion.label + 1 + which % (labels - 1)) % labels
    if world.ways[way % len(world.ways)] == TONE:
        decoy = Thing(other, 1 - lesion.tone, half)
    else:
        decoy = Thing(other, lesion.tone, 1 - facts.half)
    beside = lesion if (lot % LOTS < AGREES) != facts.reversed else decoy
    return Scene(answer, lesion, decoy, beside if world.mark else None)
