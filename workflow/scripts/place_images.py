"""Link the images that questions name to the files that they were found in."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

heard = []

with of_job(snakemake):
    from matcg.data.placing import place_images
    from matcg.steps.specs import PlacedImagesSpec

    spec = PlacedImagesSpec.model_validate_json(snakemake.params.spec)
    place_images(
        spec.preparations,
        spec.by_catalog(snakemake.params.roots, snakemake.params.downloads),
        Path(snakemake.params.out),
        Path(snakemake.params.sheet),
        heard.append,
    )

print("\n".join(heard))
