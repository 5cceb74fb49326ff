"""Let a group of runs of one backbone answer all that they are asked."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)) as tell:
    from matcg.config.backbone import Backbone
    from matcg.config.protocol import Protocol
    from matcg.devices import lease
    from matcg.evaluate.sheets import read_asked
    from matcg.evaluate.store import Store
    from matcg.plan import BASELINE

    backbone = Backbone.model_validate_json(snakemake.params.backbone)
    asked = json.loads(snakemake.params.asked)
    protocols = json.loads(snakemake.params.protocols)
    folders = map(Path, snakemake.input.weights)
    runs = {run: Path(backbone.weights) if run == BASELINE else next(folders) for run in asked}
    with lease(snakemake.resources.gpu, snakemake.log[0], tell):
        from matcg.evaluate.predict import Group, predict  # torch sees what is leased

        group = Group(
            runs,
            read_asked(
                asked,
                {name: Protocol(**settings) for name, settings in protocols.items()},
                Path(snakemake.params.data),
            ),
            backbone,
            json.loads(snakemake.params.engine),
            Store(Path(snakemake.params.store)),
            snakemake.wildcards.group,
        )
        predict(group, Path(snakemake.output[0]))
