"""Map a LLaVA checkpoint in the layout of LLaVA's own code to transformers' class."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.config.backbone import Backbone
    from matcg.train.convert import convert

    convert(Backbone.model_validate_json(snakemake.params.backbone), Path(snakemake.output[0]))
