"""Look for test images that are also in a mix tested on them."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.data.audit import audit

    out = Path(snakemake.output.audit).parent
    mixes = Path(snakemake.input.mixes[0]).parent
    uses = [tuple(use) for use in json.loads(snakemake.params.uses)]
    audit(uses, mixes, out, Path(snakemake.input.leaks), out)
