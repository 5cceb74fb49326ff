"""Draw the figures of one experiment."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.identity import plain
    from matcg.report.figures import draw

    draw(
        tables=Path(snakemake.input.tables),
        plan=Path(snakemake.input.plan[0]).parent,
        out=Path(snakemake.output.figures),
        experiment=plain(snakemake.wildcards.experiment),
        catalog=json.loads(snakemake.params.subsets),
    )
