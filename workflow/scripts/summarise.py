"""Merge what `prepare` counted and set aside over all subsets."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from matcg.data.cut_off import COUNTS, PICTURES, cut_off
    from matcg.data.prepare import summarise
    from matcg.steps.specs import SummariseSpec
    from matcg.tsv import write_tsv

    spec = SummariseSpec.model_validate_json(snakemake.params.spec)
    out = Path(snakemake.output.summary).parent
    folders = [Path(path).parent for path in snakemake.input.summaries]
    lengths = [Path(path) for path in snakemake.input.lengths]
    summarise(folders, out, spec.sources, spec.minimums, lengths)
    counts, pictures = cut_off(map(Path, snakemake.input.located), spec.crops)
    write_tsv(out / "cut.tsv", COUNTS, counts)
    write_tsv(out / "cut_pictures.tsv", PICTURES, pictures)
