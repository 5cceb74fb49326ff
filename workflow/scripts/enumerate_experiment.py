"""Write the tables of one experiment's plan."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.identity import describe_folder
    from matcg.plan.tables import write_tables
    from matcg.steps.specs import ExperimentPlanSpec

    spec = ExperimentPlanSpec.model_validate_json(snakemake.params.spec)
    out = Path(snakemake.output[0]).parent
    write_tables(spec.tables, out)
    describe_folder(out.parent, spec.about)
