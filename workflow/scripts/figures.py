"""Draw the figures of one experiment."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0]):
    from matcg.report.figures import draw

    elements = json.loads(snakemake.params.elements)
    out = Path(snakemake.output.figures)
    draw(Path(snakemake.input.tables), Path("results/runs"), out, elements)
