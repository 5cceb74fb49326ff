"""Look at a catalog's tables, and write a catalog of the subsets that they hold."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.config.library import load
    from matcg.data.found_file import write_found
    from matcg.steps.specs import LookSpec

    file = Path(LookSpec.model_validate_json(snakemake.params.spec).file)
    folder, apart = Path(snakemake.params.folder), Path(snakemake.params.apart)
    said = write_found(load("catalog", file), file, folder, apart)

print("\n".join(said))
