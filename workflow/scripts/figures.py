"""Draw the figures of one experiment."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.report.figures.all import draw_figures
    from matcg.steps.specs import FiguresSpec

    spec = FiguresSpec.model_validate_json(snakemake.params.spec)
    draw_figures(
        tables=Path(snakemake.input.tables),
        plan=Path(snakemake.input.plan[0]).parent,
        out=Path(snakemake.output.figures),
        experiment=spec.experiment,
        catalog=spec.catalog,
    )
