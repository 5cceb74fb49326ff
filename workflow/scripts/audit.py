"""Look for test images that are also in a mix tested on them."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.data.audit import audit

    params = snakemake.params
    asked = json.loads(params.asked)
    audit(
        [tuple(use) for use in json.loads(params.uses)],
        {mix: Path(path) for mix, path in json.loads(params.mixes).items()},
        {name: Path(path) for name, path in asked["folders"].items()},
        Path(snakemake.input.leaks),
        Path(snakemake.output.audit).parent,
        params.policy,
    )
