"""Measure which samples of a subset a backbone is not asked."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.identity import digest_in
    from matcg.models.identity import located
    from matcg.models.lengths import measure
    from matcg.steps.specs import LengthsSpec

    spec = LengthsSpec.model_validate_json(snakemake.params.spec)
    measure(
        located(spec.backbone, snakemake.input.base),
        {Path(path).stem: Path(path) for path in snakemake.input.samples},
        Path(snakemake.output[0]),
        digest_in(snakemake.wildcards.backbone),
    )
