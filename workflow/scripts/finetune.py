"""Fine-tune a backbone on one mix."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)) as tell:
    from matcg.config.backbone import Backbone, Recipe
    from matcg.devices import lease

    backbone = Backbone.model_validate_json(snakemake.params.backbone)
    with lease(snakemake.resources.gpu, snakemake.log[0], tell):
        from matcg.train.finetune import finetune  # torch sees what is leased

        finetune(
            mix=Path(snakemake.input.mix),
            data=Path(snakemake.input.train[0]).parent.parent,
            backbone=backbone,
            recipe=Recipe.model_validate_json(snakemake.params.recipe),
            seed=int(snakemake.wildcards.seed),
            out=Path(snakemake.output.metrics).parent,
            threads=snakemake.threads,
            store=Path(snakemake.params.store),
            minutes=json.loads(snakemake.params.training)["checkpoint_minutes"],
            nodes=snakemake.resources.get("nodes", 1),
        )
