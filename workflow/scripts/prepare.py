"""Read one subset's source files into canonical samples."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0]):
    from matcg.config import Catalog
    from matcg.data.prepare import prepare

    catalog = Catalog.model_validate_json(snakemake.params.catalog)
    root = snakemake.params.root
    prepare(
        catalog,
        catalog.subsets[0],
        Path(root) if root else None,
        Path(snakemake.output.train).parent,
    )
