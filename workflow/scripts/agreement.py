"""Sum up how far the experiments agree with what a paper prints, a row an experiment."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.report.tables.published import write_agreement

    write_agreement(map(Path, snakemake.input), Path(snakemake.output[0]).parent)
