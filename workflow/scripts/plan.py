"""Price the plan anew with what finished jobs have measured, and show it."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0]):
    from matcg.plan_tables import write_summary

    told = json.loads(snakemake.params.told)
    summary = write_summary(told["summary"], told["used"], Path(snakemake.input[0]).parent)

print(summary)
