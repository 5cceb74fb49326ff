"""Fetch the images of source datasets from where their links lead."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake) as say:
    from matcg.data.fetch_images import fetch_images
    from matcg.steps.specs import PlacedImagesSpec

    spec = PlacedImagesSpec.model_validate_json(snakemake.params.spec)
    fetch_images(
        spec.preparations,
        spec.by_catalog(snakemake.params.roots, snakemake.params.downloads),
        Path(snakemake.params.out),
        snakemake.threads,
        say,
    )
