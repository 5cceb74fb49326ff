"""Recompute what a paper's printed gains can mean, from its figures alone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.report.tables.published import write_tests
    from matcg.steps.specs import PublishedTestSpec

    spec = PublishedTestSpec.model_validate_json(snakemake.params.spec)
    write_tests(spec.printed, Path(snakemake.output[0]).parent, spec.name)
