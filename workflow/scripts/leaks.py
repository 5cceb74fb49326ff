"""Look for test images of targets among the training images of an experiment."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.data.leaks import Search, search
    from matcg.plan.places import by_name
    from matcg.steps.specs import LeaksSpec

    spec = LeaksSpec.model_validate_json(snakemake.params.spec)
    folders = by_name(Path(path).parent for path in snakemake.input.train)
    search(Search(**dict(spec), folders=folders), Path(snakemake.output.leaks).parent)
