# Answers: one engine a backbone and target, which takes the runs' weights in turn.


rule predict:
    input:
        weights=answering,
        test="results/data/{catalog}/{subset}/test.parquet",
    output:
        "results/predictions/{backbone}/{catalog}/{subset}.parquet",
    log:
        "logs/predict/{backbone}/{catalog}/{subset}.log",
    benchmark:
        "results/benchmarks/predict/{backbone}/{catalog}/{subset}.tsv"
    conda:
        "../envs/vllm.yaml"
    threads: needs("threads")
    resources:
        gpu=needs("gpu"),
        mem_mb=needs("mem_mb", grows=True),
        runtime=needs("runtime", grows=True),
    params:
        identity=lambda wildcards: planned(IDENTITIES, wildcards.backbone),
        runs=run_keys,
        backbone=lambda wildcards, input: SETTINGS[wildcards.backbone],
        engine=lambda wildcards, input: PROJECT.config.engine.canonical(),
        # Answers per run, kept between tries: Snakemake deletes what is declared.
        store=lambda wildcards, output: output[0].removesuffix(".parquet") + ".parts",
        version=versions.PREDICT,
    script:
        "../workflow/scripts/predict.py"
