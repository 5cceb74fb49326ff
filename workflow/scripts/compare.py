"""Compare the arms of one experiment."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

with logged(snakemake.log[0], snakemake.resources.get("attempt", 1)):
    from matcg.analysis.paper_cells import Paper
    from matcg.config.layout import Layout
    from matcg.config.protocol import Protocol
    from matcg.config.published import Printed
    from matcg.identity import plain
    from matcg.report.comparison import Claims
    from matcg.report.tables import Wanted, compare

    told = json.loads(snakemake.params.layout)
    paper = Paper(
        printed=[Printed(*row) for row in json.loads(snakemake.params.published)],
        layout=Layout(**told["layout"]) if told["layout"] else None,
        question=told["question"],
        catalog=json.loads(snakemake.params.subsets),
    )
    wanted = Wanted(
        plain(snakemake.wildcards.experiment),
        Claims(**json.loads(snakemake.params.claims)),
        paper,
        [Protocol(**each) for each in json.loads(snakemake.params.protocols)],
        snakemake.params.show_missing,
        told.get("smoke", ""),
    )

    compare(
        Path(snakemake.input.plan[0]).parent,
        wanted,
        Path(snakemake.output.headline).parent,
        Path(snakemake.input.leaked),
    )
