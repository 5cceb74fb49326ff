"""Gains as shares, over targets: of the way from control to ceiling, or of what CG gains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from matcg.analysis.pairs import Array, Setting, Study, Target, by_target
from matcg.analysis.statistics import Estimate
from matcg.analysis.studentised import Studentised, over_targets
from matcg.config.arm import CONTROL
from matcg.plan.records import Row

CEILING = "ceiling"


@dataclass(frozen=True, slots=True)
class Share:
    """The share, None without a ceiling; the targets it is of, and those without room for it."""

    estimate: Estimate | None
    targets: int | None
    left_out: int


def share_of_the_way(study: Study, setting: Setting, rows: Sequence[Row]) -> Share:
    """Return sum over targets of (CG - control) over sum of (ceiling - control).

    Taken are the targets whose ceiling minus control has an interval above zero.
    """
    ceilings = by_target(study.arm(setting, CEILING), study.score)
    controls = by_target(study.arm(setting, CONTROL), study.score)
    cg = by_target(rows, study.score)
    both = cg.keys() & ceilings.keys() & controls.keys()
    gains = {target: cg[target] - controls[target] for target in both}
    return share_of(study, gains, {target: ceilings[target] - controls[target] for target in both})


def share_of(study: Study, gains: Mapping[Target, Array], rooms: Mapping[Target, Array]) -> Share:
    """Return sum of gains over sum of rooms, over targets whose room has an interval above zero."""
    both = sorted(gains.keys() & rooms.keys())
    if not both:
        return Share(None, None, 0)
    taken = [target for target in both if _is_above(rooms[target], study, target)]
    tops = [float(gains[target].mean()) for target in taken]
    found = ratio(tops, [float(rooms[target].mean()) for target in taken])
    return Share(found, len(taken), len(both) - len(taken))


def _is_above(room: Array, study: Study, target: Target) -> bool:
    return over_targets([room], [study.clusters(target)]).estimate.low > 0


def ratio(gains: Sequence[float], rooms: Sequence[float]) -> Estimate | None:
    """Return the ratio of two sums over targets with its interval, None of one target.

    The variance is that of the ratio estimator (Cochran, Sampling Techniques, 1977, section 6.4),
    the interval Student's t on targets minus one.
    """
    if len(gains) < 2:
        return None
    top, bottom = np.array(gains), np.array(rooms)
    share = top.sum() / bottom.sum()
    left = top - share * bottom
    n = left.size
    error = np.sqrt((left**2).sum() * n / (n - 1)) / bottom.sum()
    return Studentised(share, error, n - 1).estimate
