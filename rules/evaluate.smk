# Answers: one engine a group of runs, then one file a target.


rule predict:
    input:
        weights=group_weights,
        data=group_data,
        base=ancient(base_weights),
    output:
        "results/answers/{backbone}/{group}.parquet",
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
        identity=lambda wildcards: asked_identity(wildcards.backbone),
        asked=group_asked,
        protocols=protocols,
        backbone=lambda wildcards, input: SETTINGS[wildcards.backbone],
        engine=lambda wildcards, input: PROJECT.config.engine.canonical({"runs"}),
        data="results/data",
        # Answers per run, kept between tries and plans: Snakemake deletes what is declared.
        store=lambda wildcards, output: str(Path(output[0]).parent / "runs"),
        timing=lambda wildcards, output: output[0].removesuffix(".parquet") + ".timing.json",
        version=versions.PREDICT,
    script:
        "../workflow/scripts/predict.py"


rule gather:
    input:
        gathered,
    output:
        "results/predictions/{backbone}/{catalog}/{subset}.parquet",
    log:
        "logs/gather/{backbone}/{catalog}/{subset}.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        names=answer_names,
        version=versions.GATHER,
    script:
        "../workflow/scripts/gather.py"
