# The paper by name: `snakemake paper` for all of its tables and figures, `snakemake table3` for one.

for collection in COLLECTIONS:

    rule:
        name:
            collection
        input:
            rules.all.input,
