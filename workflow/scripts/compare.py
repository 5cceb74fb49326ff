"""Compare the arms of one experiment."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.analysis.comparison import Claims
    from matcg.analysis.paper_cells import Paper
    from matcg.plan.places import by_name
    from matcg.report.tables.compare import Wanted, compare
    from matcg.steps.specs import CompareSpec

    spec = CompareSpec.model_validate_json(snakemake.params.spec)
    compare(
        Path(snakemake.input.plan[0]).parent,
        Wanted(
            spec.experiment,
            Claims(spec.family, spec.minimum_effect),
            Paper(list(spec.printed), spec.layout, spec.question, spec.catalog),
            protocols=spec.protocols,
            show_missing=spec.show_missing,
            smoke=spec.smoke,
            minimum_questions=spec.minimum_questions,
            covers=spec.covers,
            reduced=spec.reduced,
        ),
        Path(snakemake.output.headline).parent,
        Path(snakemake.input.leaked),
        by_name(snakemake.input.mixes),
    )
