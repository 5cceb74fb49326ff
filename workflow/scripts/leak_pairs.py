"""Draw test pictures beside the training pictures that show the same."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.report.leak_pairs import draw

    draw(Path(snakemake.input.leaks).parent, Path(snakemake.output.png))
