"""Make the training set of one mix."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.data.mix import make_mix
    from matcg.records import Mix

    params = snakemake.params
    asked = json.loads(params.mix)
    make_mix(
        Mix.of(asked["mix"]),
        {name: Path(path) for name, path in asked["folders"].items()},
        params.forbidden,
        params.size,
        Path(snakemake.output[0]),
        params.leaks,
        asked["distance"],
    )
