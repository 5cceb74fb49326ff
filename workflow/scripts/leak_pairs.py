"""Draw test pictures beside the training pictures that show the same."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.report.figures.leak_pairs import draw_leak_pairs

    plan = Path(snakemake.input.plan[0]).parent
    draw_leak_pairs(Path(snakemake.input.leaks), plan, Path(snakemake.output.png))
