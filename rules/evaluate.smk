# Answers: one engine a group of runs, which keeps the answers of each run to each target.


rule predict:
    input:
        weights=files("group_weights"),
        data=files("group_data"),
        lengths=files("group_lengths"),
        base=ancient(files("base_weights")),  # as in `finetune`
    # Beside it lie the answers of each run to each target, kept between tries and plans: Snakemake
    # deletes what is declared.
    output:
        "results/answers/{backbone}/{group}.json",
    log:
        "logs/predict/{backbone}/{group}.log",
    benchmark:
        "results/benchmarks/predict/{backbone}/{group}.tsv"
    conda:
        "../envs/vllm.yaml"
    threads: needs("threads")
    resources:
        gpu=gpus("predict"),
        gres=gres("predict"),
        mem_mb=needs("mem_mb", grows=True),
        runtime=needs("runtime", grows=True),
    params:
        spec=spec("predict"),
    script:
        "../workflow/scripts/predict.py"
