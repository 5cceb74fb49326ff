"""Look for test images of targets among the training images of an experiment."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.config.catalog import Overlap
    from matcg.data.leaks import Search, search

    asked = json.loads(snakemake.params.asked)
    asked["known"] = [Overlap(**relation) for relation in asked["known"]]
    asked["folders"] = {name: Path(path) for name, path in asked["folders"].items()}
    search(Search(**asked), Path(snakemake.output.leaks).parent)
