# From source files to canonical samples, and from these to training mixes.


rule enumerate:
    output:
        tables=expand(
            "results/plan/{name}.tsv",
            name=["experiments", "mixes", "runs", "evaluations", "excluded", "unused"],
        ),
        summary="results/plan/summary.md",
    log:
        "logs/enumerate.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        digest=lambda wildcards: digest(PLAN),
        # A function of `input` is no part of a job's identity; the digest above is.
        tables=lambda wildcards, input: tables(),
    script:
        "../workflow/scripts/enumerate.py"


# Without output, so that it runs whenever it is asked for: finished jobs change the price.
rule plan:
    input:
        rules.enumerate.output.tables,
    log:
        "logs/plan.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        tables=lambda wildcards, input: tables(),
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
    threads: lambda wildcards: 1 if planned(CATALOGS, wildcards.catalog).reader == "phantom" else 4
    resources:
        mem_mb=4000,
        # Members of a group take turns where there is one of this (slurm/config.yaml).
        bundle=1,
        runtime=lambda wildcards: 2 if CATALOGS[wildcards.catalog].reader == "phantom" else 60,
    params:
        preparation=lambda wildcards: planned(CATALOGS, wildcards.catalog)
        .preparation(wildcards.subset)
        .canonical(),
        root=lambda wildcards, input: PROJECT.roots[wildcards.catalog],
        version=versions.PREPARE,
    script:
        "../workflow/scripts/prepare.py"


rule summarise:
    input:
        summaries=data_files("summary.json"),
        quarantines=data_files("quarantine.tsv"),
    output:
        summary=report(
            "results/data/summary.tsv",
            caption="../workflow/report/data.rst",
            category="Data",
            labels={"data": "summary"},
        ),
        quarantine=report(
            "results/data/quarantine.tsv",
            caption="../workflow/report/data.rst",
            category="Data",
            labels={"data": "quarantine"},
        ),
        images=report(
            "results/data/images.tsv",
            caption="../workflow/report/data.rst",
            category="Data",
            labels={"data": "images"},
        ),
    log:
        "logs/summarise.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        sources=lambda wildcards: source_links(CATALOGS),
        version=versions.PREPARE,
    script:
        "../workflow/scripts/summarise.py"


rule leaks:
    input:
        train=data_files("train.parquet"),
        test=data_files("test.parquet"),
    output:
        leaks="results/data/leaks.tsv",
        overlaps="results/data/overlaps.tsv",
    log:
        "logs/leaks.log",
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        asked=lambda wildcards: leak_search(),
        version=versions.LEAKS,
    script:
        "../workflow/scripts/leaks.py"


rule mix:
    input:
        train=train_files,
        # A target that is planned later makes this table anew; only where it finds that a mix has
        # that target's images, which `audit` tells, is there reason to train again.
        leaks=ancient("results/data/leaks.tsv"),
    output:
        "results/mixes/{mix}.parquet",
    log:
        "logs/mix/{mix}.log",
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=4000,
        bundle=1,
        runtime=2,
    params:
        parts=lambda wildcards: json.dumps(planned(MIXES, wildcards.mix).parts),
        seed=lambda wildcards: MIXES[wildcards.mix].seed,
        labels=lambda wildcards: MIXES[wildcards.mix].labels,
        repeat=lambda wildcards: MIXES[wildcards.mix].repeat,
        size=lambda wildcards: SIZES[wildcards.mix],
        # Another experiment that uses this mix adds to these lists and changes no sample.
        forbidden=lambda wildcards, input: list(PLAN.forbidden[wildcards.mix]),
        targets=lambda wildcards, input: sorted({row.target for row in users()[wildcards.mix]}),
        leaks=lambda wildcards, input: leak_policy(wildcards.mix),
        version=versions.MIX,
    script:
        "../workflow/scripts/mix.py"


rule audit:
    input:
        mixes=expand("results/mixes/{mix}.parquet", mix=MIXES),
        test=data_files("test.parquet"),
        leaks="results/data/leaks.tsv",
    output:
        audit="results/data/audit.tsv",
        leaked="results/data/leaked.tsv",
    log:
        "logs/audit.log",
    # Before hours of training on a mix that must not be trained on.
    priority: 1
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        uses=audited(),
        version=versions.AUDIT,
    script:
        "../workflow/scripts/audit.py"
