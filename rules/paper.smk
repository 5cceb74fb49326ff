# The paper by name: `snakemake paper` for all of its tables and figures, `snakemake table3` for one.

for collection in COLLECTIONS:

    rule:
        name:
            collection
        input:
            rules.all.input,
            AGREEMENT if collection == "paper" else [],


rule agreement:
    input:
        expand("results/experiments/{name}/headline.json", name=sorted(PROJECT.published)),
    output:
        AGREEMENT,
    log:
        "logs/agreement.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        version=versions.COMPARE,
    script:
        "../workflow/scripts/agreement.py"


# What can be said of a paper's printed gains without any run: needs no data and no GPU.
rule published_test:
    output:
        expand(
            "results/paper/{{name}}_{table}.{ending}",
            table=["tests", "counts"],
            ending=["csv", "md", "tex"],
        ),
    log:
        "logs/published_test/{name}.log",
    wildcard_constraints:
        name=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        published=lambda wildcards: json.dumps(
            [astuple(row) for row in PROJECT.published[planned(tested(), wildcards.name)]]
        ),
        version=versions.PUBLISHED_TEST,
    script:
        "../workflow/scripts/published_test.py"


rule published_tests:
    input:
        expand("results/paper/{name}_{table}.md", name=tested(), table=["tests", "counts"]),
