"""Make the training set of one mix."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0]):
    from matcg.data.mix import make_mix
    from matcg.mixes import Mix

    params = snakemake.params
    parts = tuple((name, n) for name, n in json.loads(params.parts))
    catalog = Path(snakemake.input.train[0]).parent.parent
    settings = (params.seed, params.labels, params.repeat)
    make_mix(
        Mix(snakemake.wildcards.mix, catalog.name, parts, *settings),
        {name: catalog / name for name, _ in parts},
        params.forbidden,
        params.size,
        Path(snakemake.output[0]),
    )
