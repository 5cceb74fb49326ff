# Compositional generalization of multimodal LLMs on medical images: the contents page.
#
# results/plan/{experiments,mixes,runs,evaluations,excluded,unused}.tsv  summary.md
# results/throughput.tsv
# results/data/{catalog}/{subset}/{train,test}.parquet  quarantine.tsv  summary.json
# results/data/{summary,quarantine,images,leaks,overlaps,audit,leaked}.tsv  results/check_images.tsv
# results/mixes/{mix}.parquet  results/converted/{backbone}/{digest}/
# results/runs/{backbone}/{recipe}/{mix}/seed{seed}/weights/  metrics.jsonl  provenance.json
# results/answers/{backbone}/{group}.parquet  results/predictions/{backbone}/{catalog}/{subset}.parquet
# results/experiments/{experiment}/{tables,figures}/  headline.json
# results/paper/{experiment}_{tests,counts}.*  agreement.*
# results/figures/world.png  results/report.html  results/benchmarks/  logs/
from snakemake.utils import min_version

min_version("9.0")


report: "workflow/report/workflow.rst"


configfile: "config.yaml"


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
        "results/plan/summary.md",
        "results/report.html",


include: "rules/paper.smk"
include: "rules/medmat.smk"


onstart:
    check_launch()


onsuccess:
    note_throughput()
    print(headlines())


onerror:
    note_throughput()
