"""Write the page that shows everything."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0]):
    from matcg.report.html import write

    write(
        {name: Path(folder) for name, folder in snakemake.params.experiments.items()},
        Path(snakemake.input.plan[0]).parent,
        Path(snakemake.output[0]),
        json.loads(snakemake.params.config),
        Path(snakemake.input.world[0]) if snakemake.input.world else None,
    )
