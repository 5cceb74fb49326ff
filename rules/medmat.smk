# What a user of real data does before anything else: fetch files, look what they hold, and which images are there.


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
        catalog="medmat",
    script:
        "../workflow/scripts/fetch.py"


# The same for any catalog with a `release`.
rule fetch_tables:
    log:
        "logs/fetch_tables.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        spec=spec("release"),
        folder=lambda wildcards, input: asking(LOOKUP, "look_folder")(),
    script:
        "../workflow/scripts/fetch.py"


# Reads the user's tables, as planning does not; writes a file of the user's own, so it is no output.
rule catalog:
    log:
        "logs/catalog.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        spec=spec("look"),
        folder=lambda wildcards, input: asking(LOOKUP, "look_folder")(),
        apart=f"{LOOKUP.here.results}/catalogs",
    script:
        "../workflow/scripts/catalog.py"


# Asks other people's servers, so only when it is asked for; what is there already stays.
rule fetch_images:
    log:
        "logs/fetch_images.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    threads: 8
    params:
        spec=spec("placed_images"),
        roots=lambda wildcards, input: asking(LOOKUP, "image_folders")(),
        downloads=lambda wildcards, input: asking(LOOKUP, "downloads")(),
        out=f"{LOOKUP.here.results}/fetch_images.tsv",
    script:
        "../workflow/scripts/fetch_images.py"


# Links what the user has downloaded, or `fetch_images`, to where the questions say that it is.
rule place_images:
    log:
        "logs/place_images.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        spec=spec("placed_images"),
        roots=lambda wildcards, input: asking(LOOKUP, "image_folders")(),
        downloads=lambda wildcards, input: asking(LOOKUP, "downloads")(),
        out=f"{LOOKUP.here.results}/place_images.tsv",
        sheet=f"{LOOKUP.here.results}/place_images.png",
    script:
        "../workflow/scripts/place_images.py"


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
