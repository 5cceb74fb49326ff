"""Look for test images of targets among the training images of all subsets."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.config import Overlap
    from matcg.data.leaks import Search, search

    out = Path(snakemake.output.leaks).parent
    asked = [
        Search(**{**each, "known": [Overlap(**relation) for relation in each["known"]]})
        for each in json.loads(snakemake.params.asked)
    ]
    search(out, asked, out)
