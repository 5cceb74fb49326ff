"""Read one subset's source files into canonical samples."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.data.prepare import prepare
    from matcg.steps.specs import PrepareSpec

    spec = PrepareSpec.model_validate_json(snakemake.params.spec)
    root = snakemake.params.root
    out = Path(snakemake.output.train).parent
    prepare(spec.preparation, Path(root) if root else None, out, snakemake.threads)
