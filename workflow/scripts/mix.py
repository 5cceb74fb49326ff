"""Make the training set of one mix."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.data.leaks import leaks_by_target
    from matcg.data.mix import barred, make_mix
    from matcg.mixes import Mix

    params = snakemake.params
    parts = tuple((name, n) for name, n in json.loads(params.parts))
    catalog = Path(snakemake.input.train[0]).parent.parent
    mix = Mix(
        *(snakemake.wildcards.mix, catalog.name, parts, params.seed),
        *(params.labels, params.repeat, params.leaks == "report"),
    )
    by_target = leaks_by_target(Path(snakemake.input.leaks))
    found = [leak for name in params.targets for leak in by_target.get((catalog.name, name), ())]
    make_mix(
        mix,
        {name: catalog / name for name, _ in parts},
        params.forbidden,
        params.size,
        Path(snakemake.output[0]),
        barred(mix.id, params.leaks, dict(parts), found),
    )
