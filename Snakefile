# Compositional generalization of multimodal LLMs on medical images: the contents page.
#
# Where `-#` follows a name, it is the digest of all that decides what lies there (identity.py).
#
# results/plans/{plan-#}/{experiments,mixes,runs,evaluations,subsets,excluded,used,unused}.tsv
#     summary.md  agreement.*           results/plan is a link to the last plan
# results/report-{plan-#}.html          results/report.html is a link to the last plan's
# results/data/{catalog}/{subset-#}/{train,test}.parquet  quarantine.tsv  summary.json
# results/lengths/{backbone-#}/{catalog}/{subset-#}.json
# results/mixes/{mix-#}.parquet  results/converted/{backbone}/{#}/  results/exports/{backbone-#}/{mix-#}/
# results/runs/{backbone-#}/{recipe-#}/{mix-#}/seed{seed}/weights/  metrics.jsonl  provenance.json
# results/answers/{backbone-#}/{recipe-#}/{mix-#}/seed{seed}/{catalog}/{target-#}.parquet
# results/answers/{backbone-#}/{group-#}.json
# results/experiments/{experiment-#}/plan/*.tsv  {tables,figures}/  headline.json
#     data/{summary,quarantine,images,leaks,overlaps,audit,leaked}.tsv
# results/paper/{table-#}/{table}_{tests,counts}.*  results/figures/world-{#}.png
# results/throughput.tsv  results/{check,fetch,place}_images.tsv  results/benchmarks/  logs/
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=False))
sys.path.insert(0, str(ROOT / "workflow"))

from matcg.config.yaml_file import require_readable


report: "workflow/report/workflow.rst"


# The working folder's, or where there is none the clone's.
configfile: require_readable(Path("config.yaml") if Path("config.yaml").exists() else ROOT / "config.yaml")


# Used with --software-deployment-method apptainer only; made from envs/matcg.def.
container: "envs/matcg.sif"


include: "rules/common.smk"
include: "rules/data.smk"


# To show what is missing is to make nothing of it: runs and answers on disk are taken as they are.
if not SHOW_MISSING:

    include: "rules/train.smk"
    include: "rules/evaluate.smk"


include: "rules/report.smk"


rule all:
    default_target: True
    input:
        wanted,


include: "rules/paper.smk"
include: "rules/medmat.smk"
