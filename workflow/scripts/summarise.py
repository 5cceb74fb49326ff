"""Merge what `prepare` counted and set aside over all subsets."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0]):
    from matcg.data.prepare import summarise

    folders = [Path(path).parent for path in snakemake.input.summaries]
    sources = json.loads(snakemake.params.sources)
    summarise(folders, Path(snakemake.output.summary).parent, sources)
