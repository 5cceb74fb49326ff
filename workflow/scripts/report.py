"""Write the page that shows everything, and say what came out."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    import json

    from matcg.report.page.page import write_report
    from matcg.steps.finish import finish
    from matcg.steps.specs import ReportSpec

    spec = ReportSpec.model_validate_json(snakemake.params.spec)
    headlines = map(Path, snakemake.input.headlines)
    experiments = dict(zip(spec.experiments, (path.parent for path in headlines), strict=True))
    plan, out = Path(snakemake.input.plan[0]).parent, Path(snakemake.output[0])
    world = Path(snakemake.input.world[0]) if snakemake.input.world else None
    write_report(experiments, plan, out, json.loads(spec.config.canonical()), world)
    said = finish(experiments.values(), plan, out)

print(said)
