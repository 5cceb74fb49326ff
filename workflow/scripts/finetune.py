"""Fine-tune a backbone on one mix."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake) as tell:
    from matcg.cluster.devices import lease
    from matcg.models.identity import located
    from matcg.steps.specs import FinetuneSpec

    spec = FinetuneSpec.model_validate_json(snakemake.params.spec)
    with lease(snakemake.resources.gpu, snakemake.log[0], tell):
        from matcg.train.finetune import finetune  # torch sees what is leased

        finetune(
            mix=Path(snakemake.input.mix),
            data=Path(snakemake.input.train[0]).parent.parent,
            backbone=located(spec.backbone, snakemake.input.base),
            recipe=spec.recipe,
            seed=int(snakemake.wildcards.seed),
            out=Path(snakemake.output.metrics).parent,
            threads=snakemake.threads,
            store=Path(snakemake.params.store),
            minutes=spec.checkpoint_minutes,
            nodes=snakemake.resources.get("nodes", 1),
        )
