"""Map a LLaVA checkpoint in the layout of LLaVA's own code to transformers' class."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.models.convert import convert
    from matcg.steps.specs import ConvertSpec

    spec = ConvertSpec.model_validate_json(snakemake.params.spec)
    convert(spec.backbone, Path(snakemake.output[0]))
