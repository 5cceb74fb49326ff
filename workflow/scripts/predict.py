"""Let a group of runs of one backbone answer all that they are asked."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake) as tell:
    from matcg.cluster.devices import lease
    from matcg.evaluate.kept_answers import Store
    from matcg.evaluate.question_sets import read_asked
    from matcg.models.identity import located
    from matcg.plan.records import BASELINE
    from matcg.steps.specs import PredictSpec

    spec = PredictSpec.model_validate_json(snakemake.params.spec)
    backbone = located(spec.backbone, snakemake.input.base)
    folders, data = map(Path, snakemake.input.weights), Path(snakemake.input.data[0]).parents[2]
    lengths = Path(snakemake.input.lengths[0]).parents[1]
    runs = {run: Path(backbone.weights) if run == BASELINE else next(folders) for run in spec.asked}
    with lease(snakemake.resources.gpu, snakemake.log[0], tell):
        from matcg.evaluate.predict import Group, predict  # torch sees what is leased

        group = Group(
            runs,
            read_asked(spec.asked, spec.protocols, data, lengths),
            backbone,
            spec.engine.model_dump(mode="json", exclude={"runs"}),
            Store(Path(snakemake.output[0]).parent),
            snakemake.wildcards.group,
        )
        predict(group, Path(snakemake.output[0]))
