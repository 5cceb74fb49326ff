"""Look for test images that are also in a mix tested on them."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0]):
    from matcg.data.audit import audit

    out = Path(snakemake.output[0])
    uses = [(catalog, mix, target) for catalog, mix, target in json.loads(snakemake.params.uses)]
    audit(uses, Path(snakemake.input.mixes[0]).parent, out.parent, out)
