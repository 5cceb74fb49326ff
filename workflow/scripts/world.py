"""Draw the contact sheet of the phantom world."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.config.catalog import Catalog
    from matcg.phantom.sheet import draw

    draw(Catalog.model_validate_json(snakemake.params.catalog), Path(snakemake.output[0]))
