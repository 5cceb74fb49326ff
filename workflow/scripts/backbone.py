"""Make the tiny backbone from plain shapes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.tiny.make import make

    make(Path(snakemake.output[0]), snakemake.params.seed, snakemake.threads)
