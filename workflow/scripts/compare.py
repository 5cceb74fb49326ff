"""Compare the arms of one experiment."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.config.layout import Layout
    from matcg.config.protocol import Protocol
    from matcg.config.published import Printed
    from matcg.identity import plain
    from matcg.report.paper import Paper
    from matcg.report.tables import compare

    told = json.loads(snakemake.params.layout)
    plan = Path(snakemake.input.plan[0]).parent

    compare(
        plan,
        plain(snakemake.wildcards.experiment),
        Path(snakemake.output.headline).parent,
        leaked=Path(snakemake.input.leaked),
        **json.loads(snakemake.params.claims),
        printed=[Printed(*row) for row in json.loads(snakemake.params.published)],
        paper=Paper(
            layout=Layout(**told["layout"]) if told["layout"] else None,
            question=told["question"],
            catalog=json.loads(snakemake.params.subsets),
        ),
        show_missing=snakemake.params.show_missing,
        protocols=[Protocol(**each) for each in json.loads(snakemake.params.protocols)],
    )
