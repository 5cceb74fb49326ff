"""What a training set draws from that covers some elements of its target, and which cannot be made.

Every covered element has one part in |E| of the samples, from sources that share it; all else is
unrelated. So sets differ in what they cover, and are alike in all that they have in common.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from matcg.config.arm import Covering
from matcg.config.rule import Rule
from matcg.plan.combinations import offer
from matcg.plan.mixes import spread
from matcg.plan.records import Excluded
from matcg.plan.targets import Scope

_ANY = Rule(name="coverage", sources=({},), select="all")


@dataclass(frozen=True, slots=True)
class Cover:
    """The sources of each covered element, and the unrelated ones that give the rest.

    `elements` is how many the target has, |E|.
    """

    target: str
    covered: tuple[str, ...]
    pools: tuple[tuple[str, ...], ...]
    unrelated: tuple[str, ...]
    elements: int

    @property
    def rule(self) -> str:
        """Name what asks for these sources."""
        return f"coverage of {' + '.join(self.covered) or 'nothing'}"

    @property
    def sources(self) -> tuple[str, ...]:
        """Return all sources, each once."""
        return tuple(sorted({*self.unrelated, *(name for pool in self.pools for name in pool)}))

    def spread(self, total: int, caps: Mapping[str, int] | None) -> dict[str, int]:
        """Divide `total` over the sources, evenly within a pool.

        A larger set of elements has the pools of a smaller one as they are, and of its unrelated
        samples as many from each source or fewer.

        Raises:
            ValueError: a pool's caps are below what it has to give.
        """
        each = total // self.elements
        found: Counter[str] = Counter()
        for pool in self.pools:
            found.update(spread(each, dict.fromkeys(pool, Fraction(1)), caps))
        rest = total - each * len(self.pools)
        filler = spread(rest, dict.fromkeys(self.unrelated, Fraction(1)), caps) if rest else {}
        found.update({name: n for name, n in filler.items() if n})
        return dict(sorted(found.items()))


def find_covers(
    scope: Scope, arm: str, settings: Covering, targets: Sequence[str]
) -> tuple[list[Cover], set[Excluded]]:
    """Return what an arm draws from for each target, and the targets that lack a pool for it."""
    found, excluded = [], set()
    for target in targets:
        cover = _cover(scope, settings.covers, target)
        if lacking := _lacking(scope, cover):
            excluded.add(scope.excluded(target, "", arm, lacking))
        else:
            found.append(cover)
    return found, excluded


def _cover(scope: Scope, covered: tuple[str, ...], target: str) -> Cover:
    shares = _shares(scope, target)
    exact = scope.experiment.sharing == "exact"

    def pool(element: str) -> tuple[str, ...]:
        allowed = {element} if exact else {*covered}
        return tuple(name for name, held in shares.items() if element in held and held <= allowed)

    unrelated = tuple(name for name, held in shares.items() if not held)
    pools = tuple(map(pool, covered))
    return Cover(target, covered, pools, unrelated, len(scope.catalog.elements))


def _shares(scope: Scope, target: str) -> dict[str, frozenset[str]]:
    """Return which elements each possible source shares with the target."""
    catalog, own = scope.catalog, scope.catalog.subset(target)
    offered, _ = offer(_ANY, catalog, own, scope.experiment.min_size)
    return {each.id: catalog.shared(each, own) for each in offered if each.kind == own.kind}


def _lacking(scope: Scope, cover: Cover) -> str:
    """Say what a set cannot be made for the lack of, empty where it can."""
    experiment, names = scope.experiment, scope.catalog.elements
    for element, pool in zip(cover.covered, cover.pools, strict=True):
        if not pool:
            free: Collection[str] = cover.covered if experiment.sharing == "up-to" else (element,)
            others = ", ".join(name for name in names if name not in free)
            return f"no source shares {element}" + (f" and none of {others}" if others else "")
    filled = len(cover.covered) == len(names)
    if not cover.unrelated and not (filled and all(n % len(names) == 0 for n in experiment.sizes)):
        return "no source is unrelated"
    return ""
