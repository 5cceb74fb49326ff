"""Write the plan's tables, its summary, and what is no longer used."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0]):
    from matcg.identity import describe, plain
    from matcg.plan_tables import write_summary, write_tables

    out = Path(snakemake.output.summary).parent
    told = json.loads(snakemake.params.told)
    write_tables(json.loads(snakemake.params.tables), out)
    write_summary(told["summary"], told["used"], out)
    describe(out, f"The plan of {plain(snakemake.wildcards.plan)}: summary.md says what it takes")
