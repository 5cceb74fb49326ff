"""Draw the contact sheet of the phantom world."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.phantom.contact_sheet import draw_sheet
    from matcg.steps.specs import WorldSpec

    draw_sheet(
        WorldSpec.model_validate_json(snakemake.params.spec).catalog, Path(snakemake.output[0])
    )
