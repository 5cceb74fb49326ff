# What a user of the release does before anything else: fetch its files, look which images are there.


# Without output, so that it runs whenever it is asked for; what is there already stays.
rule fetch_medmat:
    log:
        "logs/fetch_medmat.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        spec=spec("fetch"),
        folder=lambda wildcards, input: str(asking(LOOKUP, "data_folder")("medmat")),
    script:
        "../workflow/scripts/fetch_medmat.py"


# Looks at the user's folder, of whose changes Snakemake knows nothing: whenever it is asked for.
rule check_images:
    log:
        "logs/check_images.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    threads: 8
    params:
        spec=spec("images"),
        roots=lambda wildcards, input: asking(LOOKUP, "image_folders")(),
        out=f"{LOOKUP.here.results}/check_images.tsv",
    script:
        "../workflow/scripts/check_images.py"
