"""Write the plan's tables, its summary, and what is no longer used."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.identity import describe_folder, plain
    from matcg.plan.places import point_to
    from matcg.plan.tables import write_summary, write_tables
    from matcg.steps.specs import PlanSpec

    spec = PlanSpec.model_validate_json(snakemake.params.spec)
    out = Path(snakemake.output.summary).parent
    write_tables(spec.tables, out)
    write_summary(spec.summary, spec.used, out)
    describe_folder(out, f"The plan of {plain(spec.plan)}: summary.md says what it takes")
    experiments = [Path(path).name for kind, path in spec.used if kind == "experiment"]
    point_to(out.name, experiments, out.parents[1])
