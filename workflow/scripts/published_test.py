"""Recompute what a paper's printed gains can mean, from its figures alone."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0]):
    from matcg.config.published import Printed
    from matcg.report.published_tables import write_tests

    write_tests(
        [Printed(*row) for row in json.loads(snakemake.params.published)],
        Path(snakemake.output[0]).parent,
        snakemake.wildcards.name,
    )
