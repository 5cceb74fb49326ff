"""Price the plan anew with what finished jobs have measured, and show it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.plan.tables import write_summary
    from matcg.steps.specs import PlanSpec

    spec = PlanSpec.model_validate_json(snakemake.params.spec)
    summary = write_summary(spec.summary, spec.used, Path(snakemake.input[0]).parent)

print(summary)
