"""Make the training set of one mix."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.data.mix_samples import make_mix
    from matcg.plan.places import by_name
    from matcg.steps.specs import MixSpec

    spec = MixSpec.model_validate_json(snakemake.params.spec)
    make_mix(
        spec.mix,
        by_name(Path(path).parent for path in [*snakemake.input.train, *snakemake.input.test]),
        spec.forbidden,
        spec.size,
        Path(snakemake.output[0]),
        spec.leaks,
        spec.distance,
        [Path(path) for path in snakemake.input.lengths],
    )
