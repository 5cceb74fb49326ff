"""Write a mix as a folder that other trainers load."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.steps.specs import ExportSpec
    from matcg.train.export import export, plain
    from matcg.train.tasks import read_mix

    spec = ExportSpec.model_validate_json(snakemake.params.spec)
    data = Path(snakemake.input.train[0]).parent.parent
    tasks = read_mix(Path(snakemake.input.mix), data)
    export(tasks, plain(spec.backbone), Path(snakemake.output[0]))
