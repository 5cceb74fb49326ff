"""What size of composition gain a design can show: by simulation of its test."""

from dataclasses import dataclass

# Standard deviation between targets of CG minus a knock-out, as single trainings gave it.
SPREAD = 0.12
POWER, TAIL, EXAMPLE = 0.8, 0.025, 0.10
_DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class Shown:
    """The gain that is claimed in 80 % of cases, and how often one of ten points is."""

    gain: float
    example: float


def shown_gain(targets: int, elements: int, spread: float = SPREAD) -> Shown | None:
    """Return what is claimed where every element truly adds as much, None below two targets.

    Gains share CG's training, so that two of them have a correlation of one half; each is tested by
    Student's t over targets, and all must be above zero (docs/statistics.md).
    """
    import numpy as np
    from scipy.stats import t

    if targets < 2 or not elements:
        return None
    rng = np.random.default_rng(0)
    cg = rng.normal(size=(1, _DRAWS, targets))
    gains = spread * (cg - rng.normal(size=(elements, _DRAWS, targets))) / np.sqrt(2)
    errors = gains.std(axis=-1, ddof=1) / np.sqrt(targets)
    # Another true gain moves all means alike: what is missing to a claim is what it must be.
    needed = (t.ppf(1 - TAIL, targets - 1) * errors - gains.mean(axis=-1)).max(axis=0)
    return Shown(float(np.quantile(needed, POWER)), float((needed < EXAMPLE).mean()))
