# From source files to canonical samples, and from these to training mixes.

# Where jobs have to wait for each other, what could refuse a mix comes before hours of training,
# and training before answers: the last group of runs else begins when all others have ended.
FIRST, SECOND = 2, 1


rule enumerate:
    output:
        tables=expand("results/plans/{{plan}}/{name}.tsv", name=[*PLAN_TABLES, "unused", "used"]),
        summary="results/plans/{plan}/summary.md",
    log:
        "logs/enumerate/{plan}.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        spec=spec("plan"),
    script:
        "../workflow/scripts/enumerate.py"


rule enumerate_experiment:
    output:
        expand("results/experiments/{{experiment}}/plan/{name}.tsv", name=PLAN_TABLES),
    log:
        "logs/enumerate/{experiment}.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        spec=spec("enumerate_experiment"),
    script:
        "../workflow/scripts/enumerate_experiment.py"


# Without output, so that it runs whenever it is asked for: finished jobs change the price.
rule plan:
    input:
        begin,
    log:
        "logs/plan.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        spec=spec("plan"),
    script:
        "../workflow/scripts/plan.py"


rule prepare:
    output:
        train="results/data/{catalog}/{subset}/train.parquet",
        test="results/data/{catalog}/{subset}/test.parquet",
        quarantine="results/data/{catalog}/{subset}/quarantine.tsv",
        summary="results/data/{catalog}/{subset}/summary.json",
    log:
        "logs/prepare/{catalog}/{subset}.log",
    priority: FIRST
    conda:
        "../envs/data.yaml"
    # Decoding real images is what takes the time; the phantom's are drawn one by one.
    threads: lambda wildcards: LOOKUP.reader(wildcards).threads
    resources:
        mem_mb=4000,
        # Members of a group take turns where there is one of this (slurm/config.yaml).
        bundle=checked(1),
        runtime=lambda wildcards: LOOKUP.reader(wildcards).minutes,
    params:
        spec=spec("prepare"),
        root=lambda wildcards, input: LOOKUP.project.roots[wildcards.catalog],
    script:
        "../workflow/scripts/prepare.py"


rule summarise:
    input:
        summaries=files("data_files", "summary.json"),
        quarantines=files("data_files", "quarantine.tsv"),
        located=files("cropped_files"),
        lengths=files("lengths_files"),
    output:
        summary=data_table("summary"),
        quarantine=data_table("quarantine"),
        images=data_table("images"),
        cut=data_table("cut"),
        cut_pictures=data_table("cut_pictures"),
    log:
        "logs/summarise/{experiment}.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        spec=spec("summarise"),
    script:
        "../workflow/scripts/summarise.py"


rule leaks:
    input:
        train=files("data_files", "train.parquet"),
        test=files("data_files", "test.parquet"),
    output:
        leaks="results/experiments/{experiment}/data/leaks.tsv",
        overlaps="results/experiments/{experiment}/data/overlaps.tsv",
    log:
        "logs/leaks/{experiment}.log",
    priority: FIRST
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        spec=spec("leaks"),
    script:
        "../workflow/scripts/leaks.py"


# Before anything is trained: which samples are longer than a backbone's context.
rule lengths:
    input:
        samples=files("subset_files"),
        base=ancient(files("base_weights")),  # as in `finetune`
    output:
        "results/lengths/{backbone}/{catalog}/{subset}.json",
    log:
        "logs/lengths/{backbone}/{catalog}/{subset}.log",
    priority: FIRST
    conda:
        "../envs/train.yaml"
    resources:
        mem_mb=4000,
        bundle=checked(1),
        runtime=30,
    params:
        spec=spec("lengths"),
    script:
        "../workflow/scripts/lengths.py"


rule mix:
    input:
        train=files("train_files"),
        test=files("test_files"),
        lengths=files("mix_lengths"),
    output:
        "results/mixes/{mix}.parquet",
    log:
        "logs/mix/{mix}.log",
    priority: FIRST
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=4000,
        bundle=checked(1),
        runtime=10,
    params:
        spec=spec("mix"),
    script:
        "../workflow/scripts/mix.py"


rule audit:
    input:
        mixes=files("mix_files"),
        test=files("data_files", "test.parquet"),
        leaks="results/experiments/{experiment}/data/leaks.tsv",
    output:
        audit="results/experiments/{experiment}/data/audit.tsv",
        leaked="results/experiments/{experiment}/data/leaked.tsv",
    log:
        "logs/audit/{experiment}.log",
    priority: FIRST
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        spec=spec("audit"),
    script:
        "../workflow/scripts/audit.py"
