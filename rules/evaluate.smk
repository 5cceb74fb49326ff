# Answers: one engine a group of runs, which keeps the answers of each run to each target.


rule predict:
    input:
        weights=group_weights,
        data=group_data,
        base=ancient(base_weights),  # as in `finetune`
    output:
        "results/answers/{backbone}/{group}.json",
    log:
        "logs/predict/{backbone}/{group}.log",
    benchmark:
        "results/benchmarks/predict/{backbone}/{group}.tsv"
    conda:
        "../envs/vllm.yaml"
    threads: needs("threads")
    resources:
        gpu=needs("gpu"),
        mem_mb=needs("mem_mb", grows=True),
        runtime=needs("runtime", grows=True),
    params:
        asked=group_asked,
        protocols=protocols,
        backbone=lambda wildcards, input: SETTINGS[wildcards.backbone],
        engine=lambda wildcards, input: PROJECT.config.engine.canonical({"runs"}),
        data="results/data",
        # Answers a run and target, kept between tries and plans: Snakemake deletes what is declared.
        store=lambda wildcards, output: str(Path(output[0]).parent),
        version=versions.PREDICT,
    script:
        "../workflow/scripts/predict.py"
