"""Write the page that shows everything."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0]):
    from matcg.report.html import write

    out = Path(snakemake.output[0])
    write(out.parent, snakemake.params.experiments, out, json.loads(snakemake.params.config))
