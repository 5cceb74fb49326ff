"""Write the plan's tables, its summary, and what is no longer used."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0]):
    from matcg.plan_tables import write_plan

    write_plan(json.loads(snakemake.params.tables), Path(snakemake.output.summary).parent)
