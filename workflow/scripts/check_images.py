"""Say which images of which source datasets are there."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

heard = []

with logged(snakemake.log[0]):
    from matcg.config.catalog import Preparation
    from matcg.data.at_hand import check_images

    check_images(
        [Preparation.model_validate_json(each) for each in snakemake.params.preparations],
        {name: Path(root) for name, root in snakemake.params.roots.items()},
        json.loads(snakemake.params.sources),
        Path("results/check_images.tsv"),
        snakemake.threads,
        heard.append,
    )

print("\n".join(heard))
