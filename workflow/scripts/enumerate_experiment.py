"""Write the tables of one experiment's plan."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0]):
    from matcg.identity import describe
    from matcg.plan_tables import write_tables

    out = Path(snakemake.output[0]).parent
    write_tables(json.loads(snakemake.params.tables), out)
    describe(out.parent, snakemake.params.question)
