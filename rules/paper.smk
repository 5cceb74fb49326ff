# Experiments by name: `snakemake paper` for all of its tables and figures, `snakemake table3` for one,
# `snakemake known_truth` for the worlds whose answer is known.

for collection in COLLECTIONS:

    rule:
        name:
            collection
        input:
            wanted,
            (lambda w: wanted(w) and EXPERIMENTS.agreement()) if collection == "paper" else [],


rule agreement:
    input:
        lambda wildcards: EXPERIMENTS.printed(),
    output:
        expand("results/plans/{{plan}}/agreement.{ending}", ending=["csv", "md", "tex"]),
    log:
        "logs/agreement/{plan}.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    script:
        "../workflow/scripts/agreement.py"


# What can be said of a paper's printed gains without any run: needs no data and no GPU.
rule published_test:
    output:
        expand(
            "results/paper/{{name}}-{{digest}}/{{name}}_{table}.{ending}",
            table=["tests", "counts"],
            ending=["csv", "md", "tex"],
        ),
    log:
        "logs/published_test/{name}-{digest}.log",
    wildcard_constraints:
        name=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        spec=spec("published_test"),
    script:
        "../workflow/scripts/published_test.py"


rule published_tests:
    input:
        lambda wildcards: EXPERIMENTS.published_tests(),
