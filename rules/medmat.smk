# What a user of the release does before anything else: fetch its files, look which images are there.


# Without output, so that it runs whenever it is asked for; what is there already stays.
rule fetch_medmat:
    log:
        "logs/fetch_medmat.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        release=lambda wildcards: release_of("medmat"),
        folder=lambda wildcards: data_folder("medmat"),
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
        preparations=lambda wildcards: [
            catalog(name).preparation(subset).canonical() for name, subset in checked()
        ],
        roots=lambda wildcards: {name: data_folder(name) for name, _ in checked()},
        sources=lambda wildcards: source_links({name for name, _ in checked()}),
    script:
        "../workflow/scripts/check_images.py"
