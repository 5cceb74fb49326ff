"""Which runs one engine answers for: groups that stay what they are when runs are added.

A group is where the work is done and no part of what an answer is: its size may change freely. It
is of one experiment, so that no experiment waits for what another one asks.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from matcg.identity import digest, named, plain
from matcg.plan.enumerate import Plan
from matcg.plan.records import BASELINE, Evaluation

_BITS = 256

# What each run of a group is asked, by the place of the run.
AskedByRun = dict[str, tuple[Evaluation, ...]]
Groups = dict[tuple[str, str], AskedByRun]


def find_groups(plan: Plan, size: int) -> Groups:
    """Return the groups of a plan, of at most `size` runs each, by backbone and name.

    A name ends in a digest of what is asked: two experiments that ask the same share the group.
    """
    found: Groups = {}
    for part in plan.parts.values() or [plan]:
        asked: dict[str, dict[str, list[Evaluation]]] = defaultdict(lambda: defaultdict(list))
        for each in part.evaluations:
            asked[each.backbone][each.run].append(each)
        for backbone, runs in sorted(asked.items()):
            for name, keys in group_runs(runs, size).items():
                group = {key: tuple(runs[key]) for key in keys}
                places = [each.place for key in keys for each in group[key]]
                found[backbone, named(name, digest("\n".join(places)))] = group
    return found


def group_runs(keys: Iterable[str], size: int) -> dict[str, tuple[str, ...]]:
    """Return the runs of one backbone in groups of one recipe; the baseline joins the first.

    Runs share a group while their digests begin alike, so a run that is added changes its own group
    only, or splits it in two. A group may be one above `size`, for the baseline.
    """
    recipes: dict[str, list[str]] = defaultdict(list)
    untrained = []
    for key in sorted(set(keys)):
        if key == BASELINE:
            untrained.append(key)
        else:
            recipes[key.split("/")[0]].append(key)
    groups = {
        f"{plain(recipe)}+{bits or 'all'}": tuple(sorted(found))
        for recipe, names in sorted(recipes.items())
        for bits, found in _split({name: _digest(name) for name in names}, size)
    }
    first = next(iter(groups), BASELINE)
    if untrained:
        groups[first] = (BASELINE, *groups.get(first, ()))
    return groups


def _split(names: Mapping[str, str], size: int, bits: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield groups of at most `size` names whose digests begin with the same bits."""
    if len(names) <= size or len(bits) == _BITS:
        yield bits, list(names)
        return
    for bit in "01":
        half = {name: digest for name, digest in names.items() if digest[len(bits)] == bit}
        if half:
            yield from _split(half, size, bits + bit)


def _digest(name: str) -> str:
    """Return the SHA-256 of a name, bit by bit."""
    return f"{int(hashlib.sha256(name.encode()).hexdigest(), 16):0{_BITS}b}"
