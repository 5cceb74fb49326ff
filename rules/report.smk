# Comparison of the arms, figures, and the page that shows them.


rule compare:
    input:
        plan=files("plan_files"),
        answers=files("answers"),
        tests=files("tests"),
        accounts=files("tests", "summary.json"),
        # What its places alone are worth; the search for leaks has these already.
        mixes=files("mix_files"),
        train=files("data_files", "train.parquet"),
        leaked="results/experiments/{experiment}/data/leaked.tsv",
    output:
        tables=report(
            directory("results/experiments/{experiment}/tables"),
            patterns=["{name}.csv"],
            caption="../workflow/report/tables.rst",
            category="Tables",
            subcategory=short_name,
            labels={"table": "{name}"},
        ),
        headline=report(
            "results/experiments/{experiment}/headline.json",
            caption="../workflow/report/headline.rst",
            category="Report",
            labels=lambda wildcards: {"part": f"Headline of {short_name(wildcards)}"},
        ),
    log:
        "logs/compare/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        spec=spec("compare"),
    script:
        "../workflow/scripts/compare.py"


rule figures:
    input:
        tables="results/experiments/{experiment}/tables",
        metrics=files("metrics"),
        plan=files("plan_files"),
    output:
        figures=report(
            directory("results/experiments/{experiment}/figures"),
            patterns=["{name}.svg"],
            caption="../workflow/report/figures.rst",
            category="Figures",
            subcategory=short_name,
            labels={"figure": "{name}"},
        ),
    log:
        "logs/figures/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        spec=spec("figures"),
    script:
        "../workflow/scripts/figures.py"


rule world:
    output:
        sheet=report(
            "results/figures/world-{digest}.png",
            caption="../workflow/report/world.rst",
            category="Data",
            labels={"data": "phantom world"},
        ),
    log:
        "logs/world-{digest}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        spec=spec("world"),
    script:
        "../workflow/scripts/world.py"


rule leak_pairs:
    input:
        leaks="results/experiments/{experiment}/data/leaks.tsv",
        plan=files("plan_files"),
    output:
        png="results/experiments/{experiment}/data/leaks.png",
        svg=report(
            "results/experiments/{experiment}/data/leaks.svg",
            category="Data",
            subcategory=short_name,
        ),
    log:
        "logs/leak_pairs/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    script:
        "../workflow/scripts/leak_pairs.py"


rule report:
    input:
        # Beside these lies the summary; that it is priced anew is no reason for another report.
        plan=expand("results/plans/{{plan}}/{name}.tsv", name=PLAN_TABLES),
        data=lambda wildcards: [
            file for name in DATA_TABLES for file in EXPERIMENTS.folders(f"data/{name}.tsv")
        ],
        headlines=lambda wildcards: EXPERIMENTS.folders("headline.json"),
        figures=lambda wildcards: EXPERIMENTS.folders("figures"),
        world=EXPERIMENTS.pictures,
        leak_pairs=lambda wildcards: EXPERIMENTS.folders("data/leaks.svg"),
    output:
        report(
            "results/report-{plan}.html",
            caption="../workflow/report/page.rst",
            category="Report",
            labels={"part": "The whole report"},
        ),
    log:
        "logs/report/{plan}.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        spec=spec("report"),
    script:
        "../workflow/scripts/report.py"
