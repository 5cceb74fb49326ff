"""Measures fine-tuning beside other tools, and prints the tables of docs/benchmarks.md.

`python tests/benchmarks/run_finetune.py cpu [--repeats 3] [--threads 1 2] [--samples 1000]
[--venvs FOLDER] [--ways ours trainer trl llamafactory]`

`cpu`: the tiny backbone on a mix of two subsets of the phantom world, all parameters in float32,
batch 8, AdamW, cosine, loss on the answer's letter, by our `finetune`, by a plain transformers
Trainer, by TRL's SFTTrainer and by LLaMA-Factory. Ways take turns, each in a process of its own
that is kept to as many cores as it has threads. TRL and LLaMA-Factory live in environments of their
own below --venvs (made where they do not exist, and kept; a temporary folder without it).

*samples/s* is of the training loop alone: from the Trainers' `on_train_begin` to `on_train_end`,
and of our `train` from its call to its return; imports, loading, LLaMA-Factory's tokenising
beforehand and saving are left out. They are in *process (s)*, as an outsider's clock has it. All
see the same batches in the same order at the same learning rates, so their losses must agree: the
first to rounding, the mean of the last 25 steps nearly. Memory is resident memory (VmHWM).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finetune_peers import TOOLS, WINDOW, keep_to_cores, peak_mb

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SUBSETS = ("ct-brain-state", "us-knee-diseases")
# As far as the first losses may be apart, and the means of the last ones after hundreds of steps
# in which roundings add up.
FIRST, LAST = 1e-4, 0.05
WAYS = ("ours", *TOOLS)
# What pip is asked for besides torch and torchvision, which are those of requirements/cpu.lock.
PACKAGES = {
    "trl": ("trl==1.16.0", "transformers==5.19.0", "pillow"),
    "llamafactory": ("llamafactory==0.9.5",),
}


def main() -> None:
    """Do what the command line asks."""
    told = parse()
    if told.part == "ours":  # in a process of its own, by `measure`
        print(json.dumps(ours(told.folder, told.threads[0])))
        return
    with folder_at(told.venvs) as venvs, tempfile.TemporaryDirectory() as name:
        pythons = {way: python_of(way, venvs) for way in told.ways}
        make(Path(name), told.samples, told.workers)
        for threads in told.threads:
            compare(Path(name), threads, told.repeats, pythons)


def parse() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("part", choices=["cpu", "ours"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--samples", type=int, default=1000, help="of both subsets together")
    parser.add_argument("--workers", type=int, default=0, help="of the other tools' data loaders")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--venvs", type=Path, help="where the tools' environments are kept")
    parser.add_argument("--folder", type=Path, help="of an earlier call, for `ours` itself")
    return parser.parse_args()


@contextmanager
def folder_at(given: Path | None) -> Iterator[Path]:
    """Give a folder that stays, or a temporary one."""
    if given is not None:
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


# --- What is trained on --------------------------------------------------------------------------


def make(folder: Path, samples: int, workers: int) -> None:
    """Write subsets and mix by the rules' own functions, and the same rows for the other tools."""
    in_own_process = [sys.executable, "-c", f"import run_finetune as r; r.write({str(folder)!r}, "]
    in_own_process[-1] += f"{samples}, {workers})"
    subprocess.run(in_own_process, env=environment(2), check=True)


def write(name: str, samples: int, workers: int) -> None:
    """Do what `make` says; a process of its own keeps torch out of the one that measures."""
    from matcg.config import load
    from matcg.data.mix import make_mix
    from matcg.mixes import make_mix as planned
    from matcg.phantom.world import read
    from matcg.samples import write_samples

    folder = Path(name)
    catalog = load("catalog", ROOT / "catalogs/phantom.yaml")
    parts = {subset: samples // len(SUBSETS) for subset in SUBSETS}
    for subset, n in parts.items():
        drawn = read(catalog.subset(subset), {"seed": 0}, "train", n)
        write_samples(folder / "data" / subset / "train.parquet", drawn)
    folders = {subset: folder / "data" / subset for subset in SUBSETS}
    make_mix(planned("phantom", parts, 0), folders, (), samples, folder / "mix.parquet")
    write_rows(folder, workers)


def write_rows(folder: Path, workers: int) -> None:
    """Write pictures, prompts and letters of all epochs in the order in which we train on them."""
    from matcg.prompts import prompt_of
    from matcg.samples import LETTERS, question_text
    from matcg.train.finetune import batches, read_mix

    backbone, recipe = settings()
    tasks = read_mix(folder / "mix.parquet", folder / "data")
    (folder / "images").mkdir()
    with (folder / "order.jsonl").open("w") as stream:
        for task in (task for batch in batches(tasks, recipe, 0) for task in batch):
            sample = task.sample
            image = folder / "images" / f"{sample.subset}-{Path(sample.sample_id).name}.png"
            image.write_bytes(sample.image)
            row = {
                "image": str(image),
                "prompt": prompt_of(sample, backbone),
                "question": question_text(sample.question, sample.options),
                "letter": LETTERS[task.answer],
            }
            stream.write(json.dumps(row) + "\n")
    told = {
        "weights": backbone.weights,
        "prompt": backbone.prompt,
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "seed": 0,
        "workers": workers,
    }
    (folder / "told.json").write_text(json.dumps(told))


def settings() -> tuple[Any, Any]:
    """Return the tiny backbone and its recipe, without warm-up.

    The Trainers' warm-up begins at a rate of 0, ours above it; without any, all rates are the same.
    """
    from matcg.config import load

    found = load("backbone", ROOT / "backbones/tiny-llava.yaml")
    backbone = found.model_copy(update={"weights": str(ROOT / "backbones/tiny-llava")})
    return backbone, backbone.recipes["full"].model_copy(update={"warmup": 0.0})


def ours(folder: Path, threads: int) -> dict[str, Any]:
    """Train as the rule does, and time the loop."""
    keep_to_cores(threads)
    from matcg.train import finetune

    seen: dict[str, Any] = {"optimiser": "adamw_torch"}
    train = finetune.train

    def timed(model: Any, *rest: Any, **more: Any) -> None:
        trained = [each for each in model.parameters() if each.requires_grad]
        seen["parameters"] = sum(each.numel() for each in trained)
        seen["types"] = sorted({str(each.dtype) for each in trained})
        began = time.perf_counter()
        train(model, *rest, **more)
        seen["seconds"] = time.perf_counter() - began

    finetune.train = timed
    backbone, recipe = settings()
    with tempfile.TemporaryDirectory(dir=folder) as out:
        data, mix = folder / "data", folder / "mix.parquet"
        finetune.finetune(mix, data, backbone, recipe, 0, Path(out), threads)
        lines = (Path(out) / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    last = statistics.fmean(losses[-WINDOW:])
    return {
        **seen,
        "steps": len(losses),
        "first": losses[0],
        "last": last,
        "peak_mb": peak_mb(),
    }


# --- Other tools' environments -------------------------------------------------------------------


def python_of(way: str, venvs: Path) -> Path:
    """Return the interpreter that a way runs in; make its environment where there is none."""
    if way not in PACKAGES:
        return Path(sys.executable)
    python = venvs / way / "bin/python"
    if not (venvs / way / "ready").exists():
        print(f"installing {way} into {venvs / way}", file=sys.stderr, flush=True)
        venv.create(venvs / way, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "-q"]
        lock = (ROOT / "requirements/cpu.lock").read_text().splitlines()
        torch = [line for line in lock if line.startswith(("torch==", "torchvision=="))]
        subprocess.run([*pip, *torch, *PACKAGES[way]], check=True)
        # Of matcg only what lets a CUDA build of torchvision be imported beside CPU torch.
        subprocess.run([*pip, "--no-deps", str(ROOT)], check=True)
        if way == "llamafactory":
            without_audio(python)
        (venvs / way / "ready").touch()
    return python


def without_audio(python: Path) -> None:
    """Put an empty module in torchaudio's place.

    LLaMA-Factory imports it whatever the data; PyPI's build cannot be loaded without CUDA.
    """
    subprocess.run([str(python), "-m", "pip", "uninstall", "-qy", "torchaudio"], check=True)
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run(where, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    (Path(site) / "torchaudio.py").write_text('"""Stands for a package that is not used."""\n')


# --- Measuring -----------------------------------------------------------------------------------


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a process with so many threads, the tokeniser's among them."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
    return {
        **os.environ,
        **dict.fromkeys(names, str(threads)),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "workflow"), str(HERE)]),
        "HF_HUB_OFFLINE": "1",
    }


def measure(way: str, folder: Path, threads: int, python: Path) -> dict[str, Any]:
    """Train one way in a process of its own; add the whole process's seconds."""
    script = [str(HERE / "finetune_peers.py"), way, str(folder), str(threads)]
    if way == "ours":
        script = [__file__, "ours", "--folder", str(folder), "--threads", str(threads)]
    surroundings = environment(threads)
    if way in PACKAGES:
        del surroundings["PYTHONPATH"]
    began = time.perf_counter()
    done = subprocess.run([str(python), *script], env=surroundings, capture_output=True, text=True)
    whole = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{way} ended with code {done.returncode}:\n{done.stderr[-4000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "whole": whole}


def compare(folder: Path, threads: int, repeats: int, pythons: dict[str, Path]) -> None:
    """Print a row a way: medians of runs that took turns."""
    samples = len((folder / "order.jsonl").read_text().splitlines())
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in pythons}
    for _ in range(repeats):
        for way, python in pythons.items():
            found[way].append(measure(way, folder, threads, python))
    rates = {way: [samples / run["seconds"] for run in runs] for way, runs in found.items()}
    middle = {way: statistics.median(values) for way, values in rates.items()}
    print(f"\n{threads} threads, {samples} samples of all epochs together\n")
    print("| way | samples/s | single runs | of ours | peak memory (MB) | process (s) | losses |")
    print("|---|---|---|---|---|---|---|")
    for way, runs in found.items():
        cells = [
            f"{middle[way]:.0f}",
            ", ".join(f"{value:.0f}" for value in rates[way]),
            f"{middle[way] / middle.get('ours', middle[way]):.2f}",
            f"{statistics.median(run['peak_mb'] for run in runs):.0f}",
            f"{statistics.median(run['whole'] for run in runs):.1f}",
            f"{runs[0]['first']:.6f} to {runs[0]['last']:.4f}",
        ]
        print(f"| {way} | {' | '.join(cells)} |")
    check([(way, run) for way, runs in found.items() for run in runs])


def check(runs: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Say whether all ways did the same training.

    Exits where they did not: other parameters, types or steps, or losses too far apart.
    """
    first = runs[0][1]
    for way, run in runs:
        same = all(run[key] == first[key] for key in ("parameters", "types", "steps"))
        near = abs(run["first"] - first["first"]) < FIRST and abs(run["last"] - first["last"]) < LAST
        if not (same and near):
            sys.exit(f"{way} did not train as {runs[0][0]} did:\n{run}\n{first}")
    optimisers = ", ".join(f"{way} {run['optimiser']}" for way, run in dict(runs).items())
    print(f"\nEach trained {first['parameters']} parameters for {first['steps']} steps: {optimisers}")


if __name__ == "__main__":
    main()
