"""Make the tiny backbone from plain shapes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.tiny.make import make

    make(Path(snakemake.output[0]), snakemake.params.seed, snakemake.threads)
