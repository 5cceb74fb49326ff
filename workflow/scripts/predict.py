"""Let all runs of a backbone answer one target's questions."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)) as tell:
    from matcg.config import Backbone
    from matcg.devices import lease

    backbone = Backbone.model_validate_json(snakemake.params.backbone)
    keys = json.loads(snakemake.params.runs)
    folders = map(Path, snakemake.input.weights)
    runs = {key: Path(backbone.weights) if key == "baseline" else next(folders) for key in keys}
    with lease(snakemake.resources.gpu, snakemake.log[0], tell):
        from matcg.evaluate.predict import predict  # torch sees what is leased

        predict(
            runs,
            Path(snakemake.input.test),
            backbone,
            json.loads(snakemake.params.engine),
            Path(snakemake.output[0]),
            Path(snakemake.params.store),
        )
