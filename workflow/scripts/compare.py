"""Compare the arms of one experiment."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0]):
    from matcg.published import Printed
    from matcg.report.tables import compare

    compare(
        Path(snakemake.input.plan),
        Path("results/predictions"),
        snakemake.wildcards.experiment,
        Path(snakemake.output.headline).parent,
        leaked=Path(snakemake.input.leaked),
        data=Path("results/data"),
        **json.loads(snakemake.params.claims),
        printed=[Printed(*row) for row in json.loads(snakemake.params.published)],
    )
