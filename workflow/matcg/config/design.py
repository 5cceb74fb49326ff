"""A design by coverage: an arm for every set of the elements that a catalog describes."""

from itertools import chain, combinations

from matcg.config.arm import ARMS, CONTROL, Arm, Covering
from matcg.config.catalog import Catalog
from matcg.config.experiment import Experiment
from matcg.errors import ConfigError

# Seven elements would be 128 training sets for each target.
MOST = 6


def arms_of(experiment: Experiment, catalog: Catalog) -> dict[str, Arm]:
    """Return an experiment's arms, those of its design written out.

    The set of no element is the control: as many unrelated samples.

    Raises:
        ConfigError: there are too many elements, or an arm of that name is there already.
    """
    if not experiment.design:
        return dict(experiment.arms)
    elements = catalog.elements
    if len(elements) > MOST:
        settings = (experiment.backbones, experiment.seeds, experiment.sizes, experiment.mixed_in)
        runs = 2 ** len(elements)
        for each in settings:
            runs *= len(each)
        raise ConfigError(
            f"{experiment.where}: design: catalog '{catalog.name}' has {len(elements)} elements,"
            f" which are {runs} runs for every target; a design covers at most {MOST}: write the"
            f" arms that matter instead, such as `{elements[0]}: {{covers: [{elements[0]}]}}`"
        )
    sets = chain.from_iterable(combinations(elements, n) for n in range(len(elements) + 1))
    designed: dict[str, Arm] = {
        "+".join(covered) or CONTROL: Covering(covers=covered) for covered in sets
    }
    for name in sorted(designed):
        if name in experiment.arms or (name in ARMS and name in elements):
            raise ConfigError(
                f"{experiment.where}: arms.{name}: the design has an arm of this name; rename one"
            )
    return {**designed, **experiment.arms}
