# Fine-tuning, backbones that are converted first, and the small one of the default experiment.


rule finetune:
    input:
        mix="results/mixes/{mix}.parquet",
        train=files("train_files"),
        # Converted weights that were removed and made again are newer than their runs, which stay.
        # Nothing hides behind `ancient`: what decides weights, runs and answers, versions and
        # scripts among it, is in their paths, so that a change of it is a file that is missing.
        base=ancient(files("base_weights")),
    output:
        weights=directory("results/runs/{backbone}/{recipe}/{mix}/seed{seed}/weights"),
        metrics="results/runs/{backbone}/{recipe}/{mix}/seed{seed}/metrics.jsonl",
        provenance="results/runs/{backbone}/{recipe}/{mix}/seed{seed}/provenance.json",
    log:
        "logs/finetune/{backbone}/{recipe}/{mix}/seed{seed}.log",
    benchmark:
        "results/benchmarks/finetune/{backbone}/{recipe}/{mix}/seed{seed}.tsv"
    priority: SECOND
    conda:
        "../envs/train.yaml"
    threads: needs("threads")
    resources:
        gpu=gpus("finetune"),
        gres=gres("finetune"),
        mem_mb=needs("mem_mb", grows=True),
        runtime=needs("runtime", grows=True),
    params:
        spec=spec("finetune"),
        # Where an unfinished run is kept: Snakemake deletes what is declared.
        store=lambda wildcards, output: output.metrics.replace("metrics.jsonl", "unfinished"),
    script:
        "../workflow/scripts/finetune.py"


# What LLaMA-Factory and ms-swift load; `export_mixes` asks for it, and nothing else.
rule export_mix:
    input:
        mix="results/mixes/{mix}.parquet",
        train=files("train_files"),
    output:
        directory("results/exports/{backbone}/{mix}"),
    log:
        "logs/export_mix/{backbone}/{mix}.log",
    conda:
        "../envs/train.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=spec("export_mix"),
        version=versions.EXPORT,
    script:
        "../workflow/scripts/export_mix.py"


rule export_mixes:
    input:
        lambda wildcards: LOOKUP.exports(),


rule convert:
    output:
        directory("results/converted/{backbone}/{digest}"),
    log:
        "logs/convert/{backbone}/{digest}.log",
    benchmark:
        "results/benchmarks/convert/{backbone}/{digest}.tsv"
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: checked(4000)(wildcards) * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        spec=spec("convert"),
    script:
        "../workflow/scripts/convert.py"


rule backbone:
    output:
        directory("results/backbones/tiny-llava"),
    log:
        "logs/backbone.log",
    benchmark:
        "results/benchmarks/backbone.tsv"
    conda:
        "../envs/train.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        seed=0,
        version=versions.BACKBONE,
    script:
        "../workflow/scripts/backbone.py"
