"""Merge what `prepare` counted and set aside over all subsets."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.data.prepare import summarise
    from matcg.steps.specs import SummariseSpec

    spec = SummariseSpec.model_validate_json(snakemake.params.spec)
    folders = [Path(path).parent for path in snakemake.input.summaries]
    summarise(folders, Path(snakemake.output.summary).parent, spec.sources)
