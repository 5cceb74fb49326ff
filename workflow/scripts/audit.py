"""Look for test images that are also in a mix tested on them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.data.leak_audit import audit
    from matcg.plan.places import by_name
    from matcg.steps.specs import AuditSpec

    spec = AuditSpec.model_validate_json(snakemake.params.spec)
    audit(
        spec.uses,
        by_name(snakemake.input.mixes),
        by_name(Path(path).parent for path in snakemake.input.test),
        Path(snakemake.input.leaks),
        Path(snakemake.output.audit).parent,
        spec.leaks,
    )
