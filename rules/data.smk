# From source files to canonical samples, and from these to training mixes.


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
        # Functions of `input` are no part of a job's identity: that stands in the plan's name.
        tables=lambda wildcards, input: json.dumps(render(PLAN, PLACES)),
        told=lambda wildcards, input: summary(),
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
        tables=lambda wildcards, input: of_experiment(rendered)(wildcards),
        question=lambda wildcards, input: of_experiment(about)(wildcards),
    script:
        "../workflow/scripts/enumerate_experiment.py"


# Without output, so that it runs whenever it is asked for: finished jobs change the price.
rule plan:
    input:
        lambda wildcards: f"results/plans/{plan_place()}/summary.md",
    log:
        "logs/plan.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        told=lambda wildcards, input: summary(),
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
    conda:
        "../envs/data.yaml"
    # Decoding real images is what takes the time; the phantom's are drawn one by one.
    threads: lambda wildcards: reader_of(wildcards).threads
    resources:
        mem_mb=4000,
        # Members of a group take turns where there is one of this (slurm/config.yaml).
        bundle=checked(1),
        runtime=lambda wildcards: reader_of(wildcards).minutes,
    params:
        preparation=preparation,
        root=lambda wildcards, input: PROJECT.roots[wildcards.catalog],
        version=versions.PREPARE,
    script:
        "../workflow/scripts/prepare.py"


rule summarise:
    input:
        summaries=experiment_data("summary.json"),
        quarantines=experiment_data("quarantine.tsv"),
    output:
        summary=report(
            "results/experiments/{experiment}/data/summary.tsv",
            caption="../workflow/report/data.rst",
            category="Data",
            subcategory=short_name,
            labels={"data": "summary"},
        ),
        quarantine=report(
            "results/experiments/{experiment}/data/quarantine.tsv",
            caption="../workflow/report/data.rst",
            category="Data",
            subcategory=short_name,
            labels={"data": "quarantine"},
        ),
        images=report(
            "results/experiments/{experiment}/data/images.tsv",
            caption="../workflow/report/data.rst",
            category="Data",
            subcategory=short_name,
            labels={"data": "images"},
        ),
    log:
        "logs/summarise/{experiment}.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        sources=of_experiment(lambda experiment: source_links([experiment.catalog])),
        version=versions.PREPARE,
    script:
        "../workflow/scripts/summarise.py"


rule leaks:
    input:
        train=experiment_data("train.parquet"),
        test=experiment_data("test.parquet"),
    output:
        leaks="results/experiments/{experiment}/data/leaks.tsv",
        overlaps="results/experiments/{experiment}/data/overlaps.tsv",
    log:
        "logs/leaks/{experiment}.log",
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        asked=of_experiment(leak_search),
        version=versions.LEAKS,
    script:
        "../workflow/scripts/leaks.py"


rule mix:
    input:
        train=train_files,
        test=test_files,
    output:
        "results/mixes/{mix}.parquet",
    log:
        "logs/mix/{mix}.log",
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=4000,
        bundle=checked(1),
        runtime=10,
    params:
        mix=mix_of,
        # Another experiment that uses this mix changes these, and no sample.
        size=lambda wildcards, input: size_of(wildcards.mix),
        forbidden=lambda wildcards, input: list(PLAN.forbidden[wildcards.mix]),
        leaks=lambda wildcards, input: leak_policy(wildcards.mix),
        version=versions.MIX,
    script:
        "../workflow/scripts/mix.py"


rule audit:
    input:
        mixes=of_experiment(lambda experiment: list(mixes_of(experiment).values())),
        test=experiment_data("test.parquet"),
        leaks="results/experiments/{experiment}/data/leaks.tsv",
    output:
        audit="results/experiments/{experiment}/data/audit.tsv",
        leaked="results/experiments/{experiment}/data/leaked.tsv",
    log:
        "logs/audit/{experiment}.log",
    # Before hours of training on a mix that must not be trained on.
    priority: 1
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        uses=of_experiment(audited),
        mixes=of_experiment(lambda experiment: json.dumps(mixes_of(experiment))),
        asked=of_experiment(leak_search),
        policy=of_experiment(lambda experiment: experiment.leaks),
        version=versions.AUDIT,
    script:
        "../workflow/scripts/audit.py"
