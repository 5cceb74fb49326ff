"""Bring one target's answers together from the groups of runs that gave them."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.evaluate.gather import gather

    gather(
        map(Path, snakemake.input),
        snakemake.wildcards.catalog,
        snakemake.wildcards.subset,
        json.loads(snakemake.params.names),
        Path(snakemake.output[0]),
    )
