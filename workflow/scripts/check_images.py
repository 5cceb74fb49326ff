"""Say which images of which source datasets are there."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

heard = []

with of_job(snakemake):
    from matcg.data.images_present import check_images
    from matcg.steps.specs import ImagesSpec

    spec = ImagesSpec.model_validate_json(snakemake.params.spec)
    check_images(
        spec.preparations,
        {name: Path(root) for name, root in snakemake.params.roots.items()},
        spec.sources,
        Path(snakemake.params.out),
        snakemake.threads,
        heard.append,
    )

print("\n".join(heard))
