"""The reader who knows exactly what its training data teach, and guesses the rest."""

from collections.abc import Collection, Mapping

from matcg.phantom.facts import AGREES, HALF, LOTS, MEANING, TONE, Scene, World

Shares = Collection[frozenset[str]]  # for each source, the elements that it shares with the target


def shares_of(target: Mapping[str, str], sources: Collection[Mapping[str, str]]) -> Shares:
    """Return which elements each source shares with the target, each set once."""
    return {frozenset(e for e in target if source[e] == target[e]) for source in sources}


def teaches(world: World, fact: str, shares: Shares) -> bool:
    """Tell whether a source has all the values that a fact is of."""
    return any(set(world.facts[fact]) <= share for share in shares)


def choices(world: World, labels: int, scene: Scene, shares: Shares) -> list[int]:
    """Return the answers between which the reader guesses; one where it is sure.

    Without the task it cannot tell what is asked. Of lesion and decoy it takes what the fact by
    which they differ says, else what the mark is beside.
    """
    if not any("task" in share for share in shares):
        return list(range(labels))
    if MEANING in world.facts and not teaches(world, MEANING, shares):
        return list(range(labels))
    if scene.decoy is None:
        return [scene.answer]
    by = TONE if scene.decoy.tone != scene.lesion.tone else HALF
    if teaches(world, by, shares):
        return [scene.lesion.label]
    if scene.marked:
        return [scene.marked.label]
    return [scene.lesion.label, scene.decoy.label]


def ideal_accuracy(world: World, labels: int, shares: Shares) -> float:
    """Return the share of a held-out target's questions that the reader answers rightly, v*.

    Of k `labels` it guesses one in k where it cannot tell what is asked or what a label means. Else
    it is right, but where lesion and decoy differ by a fact that is not taught: there in half of
    the questions, or as often as the target's mark is beside the lesion.
    """
    task = any("task" in share for share in shares)
    if not task or (MEANING in world.facts and not teaches(world, MEANING, shares)):
        return 1 / labels
    unknown = [by for by in world.ways if not teaches(world, by, shares)]
    guessed = 1 - AGREES / LOTS if world.mark else 0.5
    return 1 - (1 - guessed) * len(unknown) / max(len(world.ways), 1)
