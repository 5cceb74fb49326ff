# Comparison of the arms, figures, and the page that shows them.


rule compare:
    input:
        plan="results/plan/experiments.tsv",
        predictions=predictions,
        tests=tests,
        leaked="results/data/leaked.tsv",
        excluded="results/plan/excluded.tsv",
    output:
        tables=report(
            directory("results/experiments/{experiment}/tables"),
            patterns=["{name}.csv"],
            caption="../workflow/report/tables.rst",
            category="Tables",
            subcategory="{experiment}",
            labels={"table": "{name}"},
        ),
        headline=report(
            "results/experiments/{experiment}/headline.json",
            caption="../workflow/report/headline.rst",
            category="Report",
            labels={"part": "Headline of {experiment}"},
        ),
    log:
        "logs/compare/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        published=published,
        claims=claims,
        layout=layout,
        protocols=asked_by,
        subsets=catalog_elements,
        show_missing=SHOW_MISSING,
        version=versions.COMPARE,
    script:
        "../workflow/scripts/compare.py"


rule figures:
    input:
        tables="results/experiments/{experiment}/tables",
        metrics=metrics,
        plan=["results/plan/experiments.tsv", "results/plan/mixes.tsv"],
    output:
        figures=report(
            directory("results/experiments/{experiment}/figures"),
            patterns=["{name}.svg"],
            caption="../workflow/report/figures.rst",
            category="Figures",
            subcategory="{experiment}",
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
        subsets=catalog_elements,
        version=versions.FIGURES,
    script:
        "../workflow/scripts/figures.py"


rule world:
    output:
        sheet=report(
            "results/figures/world.png",
            caption="../workflow/report/world.rst",
            category="Data",
            labels={"data": "phantom world"},
        ),
    log:
        "logs/world.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        catalog=lambda wildcards: CATALOGS[PHANTOMS[0]].canonical(),
        version=versions.WORLD,
    script:
        "../workflow/scripts/world.py"


rule leak_pairs:
    input:
        leaks="results/data/leaks.tsv",
    output:
        png="results/figures/leaks.png",
        svg=report("results/figures/leaks.svg", category="Data"),
    log:
        "logs/leak_pairs.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        version=versions.LEAK_PAIRS,
    script:
        "../workflow/scripts/leak_pairs.py"


rule report:
    input:
        # Looked at again, the plan is priced again; that is no reason for another report.
        plan=ancient("results/plan/summary.md"),
        data=expand("results/data/{name}.tsv", name=DATA_TABLES),
        headlines=expand("results/experiments/{name}/headline.json", name=EXPERIMENTS),
        figures=expand("results/experiments/{name}/figures", name=EXPERIMENTS),
        world=["results/figures/world.png"] if PHANTOMS else [],
        leak_pairs="results/figures/leaks.svg",
    output:
        report(
            "results/report.html",
            caption="../workflow/report/page.rst",
            category="Report",
            labels={"part": "The whole report"},
        ),
    log:
        "logs/report.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        experiments=EXPERIMENTS,
        config=lambda wildcards, input: PROJECT.config.canonical(),
        version=versions.REPORT,
    script:
        "../workflow/scripts/report.py"
