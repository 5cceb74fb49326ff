"""Read one subset's source files into canonical samples."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.config.catalog import Preparation
    from matcg.data.prepare import prepare

    root = snakemake.params.root
    prepare(
        Preparation.model_validate_json(snakemake.params.preparation),
        Path(root) if root else None,
        Path(snakemake.output.train).parent,
        snakemake.threads,
    )
