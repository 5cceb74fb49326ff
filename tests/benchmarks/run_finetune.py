"""Measures fine-tuning beside other tools, and prints the tables of docs/benchmarks.md.

`python tests/benchmarks/run_finetune.py cpu [--repeats 3] [--threads 1 2] [--samples 1000]
[--venvs FOLDER] [--ways ours trainer trl llamafactory]`

The tiny backbone on a mix of two subsets of the phantom world, all parameters in float32, batch 8,
AdamW, cosine, loss on the answer's letter: by our `finetune`, by a plain transformers Trainer, by
TRL's SFTTrainer and by LLaMA-Factory. Ways take turns, each in a process of its own that is kept to
as many cores as it has threads. TRL and LLaMA-Factory live in environments of their own below
--venvs (made where they do not exist, and kept; a temporary folder without it).

`python tests/benchmarks/run_finetune.py gpu [--methods lora full] [--checkpointing off on]
[--micro 4] [--seconds 480]`

The shape of LLaVA 1.5 7B with random weights on made-up pictures of 336 pixels, by our `finetune`
and by a plain Trainer, both in mixed precision (--shape tiny --device cpu tries the same code on
any machine). MFU is by the operations that the task takes (finetune_gpu.py says which).

*samples/s* is of the training loop alone, by the same clock for all: from the end of the first
step of the optimiser (of the last one that warms up, in `gpu`) to the end of the last. Imports,
loading, LLaMA-Factory's tokenising beforehand and saving are left out; *process (s)* has them.
*Samples a CPU second* are of the same steps, and depend less on what else the machine does. All
see the same batches in the same order at the same learning rates, so their losses must agree: the
first to rounding, the mean of the last full 25 steps nearly. Memory is the most that was resident
(VmHWM), on a GPU the most that tensors took after the warm-up.
"""

import argparse
import json
import os
import shutil
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

import finetune_gpu
from finetune_peers import TOOLS, WINDOW, seen_by
from finetune_steps import Steps, keep_to_cores

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
    if told.part == "gpu":
        finetune_gpu.measure(told)
    elif told.part == "ours":  # in a process of its own, by `measure`
        print(json.dumps(ours(told.folder, told.threads)))
    else:
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
    parts = parser.add_subparsers(dest="part", required=True)
    cpu = parts.add_parser("cpu", help="beside Trainer, TRL and LLaMA-Factory")
    cpu.add_argument("--repeats", type=int, default=3)
    cpu.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    cpu.add_argument("--samples", type=int, default=1000, help="of both subsets together")
    cpu.add_argument("--workers", type=int, default=0, help="of the other tools' data loaders")
    cpu.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    cpu.add_argument("--venvs", type=Path, help="where the tools' environments are kept")
    add_gpu(parts.add_parser("gpu", help="a large model's shape beside Trainer"))
    one = parts.add_parser("ours", help="what `cpu` starts")
    one.add_argument("folder", type=Path)
    one.add_argument("threads", type=int)
    return parser.parse_args()


def add_gpu(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `gpu`."""
    parser.add_argument("--shape", choices=finetune_gpu.SHAPES, default="7b")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--methods", nargs="+", choices=["lora", "full"], default=["lora", "full"])
    parser.add_argument("--checkpointing", nargs="+", choices=["on", "off"], default=["off", "on"])
    parser.add_argument("--micro", type=int, nargs="+", default=[4], help="samples at a time")
    parser.add_argument("--batch", type=int, default=32, help="samples a step")
    parser.add_argument("--warm", type=int, default=2, help="steps that are not measured")
    parser.add_argument("--steps", type=int, default=5, help="steps that are")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--workers", type=int, default=4, help="of the Trainer's data loader")
    parser.add_argument("--seconds", type=float, default=480, help="for all cases together")
    parser.add_argument("--peak", type=float, default=finetune_gpu.PEAK, help="operations a second")
    parser.add_argument("--scratch", type=Path, help="where 14 GB of weights go for a while")


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
    from matcg.config.library import load
    from matcg.data.mix_samples import make_mix
    from matcg.phantom.world import generate
    from matcg.plan.mixes import planned_mix
    from matcg.samples import write_samples

    folder = Path(name)
    catalog = load("catalog", ROOT / "catalogs/phantom.yaml")
    parts = {subset: samples // len(SUBSETS) for subset in SUBSETS}
    for subset, n in parts.items():
        drawn = generate(catalog.subset(subset), {"seed": 0}, "train", n)
        write_samples(folder / "data" / subset / "train.parquet", drawn)
    folders = {subset: folder / "data" / subset for subset in SUBSETS}
    make_mix(planned_mix("phantom", parts, 0), folders, (), samples, folder / "mix.parquet")
    write_rows(folder, workers)


def write_rows(folder: Path, workers: int) -> None:
    """Write pictures, prompts and letters of all epochs in the order in which we train on them."""
    from matcg.forms.choice import OPTION_LETTERS, question_text
    from matcg.models.prompts import prompt_of
    from matcg.train.tasks import batches, read_mix

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
                "letter": OPTION_LETTERS[task.answer],
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
    from matcg.config.library import load

    found = load("backbone", ROOT / "backbones/tiny-llava.yaml")
    backbone = found.model_copy(update={"weights": str(ROOT / "backbones/tiny-llava")})
    return backbone, backbone.recipes["full"].model_copy(update={"warmup": 0.0})


def ours(folder: Path, threads: int) -> dict[str, Any]:
    """Train as the rule does."""
    keep_to_cores(threads)
    from matcg.train.finetune import finetune

    steps = Steps()
    backbone, recipe = settings()
    with tempfile.TemporaryDirectory(dir=folder) as out:
        data, mix = folder / "data", folder / "mix.parquet"
        finetune(mix, data, backbone, recipe, 0, Path(out), threads)
        lines = (Path(out) / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    whole = len(losses) // WINDOW * WINDOW  # steps of the Trainers' last window
    last = statistics.fmean(losses[max(0, whole - WINDOW) : whole])
    return seen_by(steps, recipe.batch_size, losses[0], last)


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
        torch = [line.split()[0] for line in lock if line.startswith(("torch==", "torchvision=="))]
        subprocess.run([*pip, *torch, *PACKAGES[way]], check=True)
        install_ours(pip)
        if way == "llamafactory":
            without_audio(python)
        (venvs / way / "ready").touch()
    return python


def install_ours(pip: list[str]) -> None:
    """Install this package without what it needs: it lets torchvision be imported beside CPU torch.

    From a copy, since pip leaves folders beside what it builds.
    """
    with tempfile.TemporaryDirectory() as name:
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / file, name)
        shutil.copytree(ROOT / "workflow", Path(name) / "workflow")
        subprocess.run([*pip, "--no-deps", name], check=True)


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
        script = [__file__, "ours", str(folder), str(threads)]
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
    print(f"\n{threads} threads, {samples} samples of all epochs together\n")
    names = ("way", "samples/s", "single runs", "ours is faster by", "samples a CPU second")
    names += ("ours by that", "peak memory (MB)", "process (s)", "losses")
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for way, runs in found.items():
        print(f"| {way} | {' | '.join(cells(runs, found.get('ours', runs)))} |")
    check([(way, run) for way, runs in found.items() for run in runs])


def cells(runs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> list[str]:
    """Return one way's cells: medians, and ratios of medians."""
    rate, cpu_rate = middle(runs, "rate"), middle(runs, "cpu_rate")
    return [
        f"{rate:.0f}",
        ", ".join(f"{run['rate']:.0f}" for run in runs),
        f"{middle(ours, 'rate') / rate:.2f}",
        f"{cpu_rate:.0f}",
        f"{middle(ours, 'cpu_rate') / cpu_rate:.2f}",
        f"{middle(runs, 'peak_mb'):.0f}",
        f"{middle(runs, 'whole'):.1f}",
        f"{runs[0]['first']:.6f} to {runs[0]['last']:.4f}",
    ]


def middle(runs: list[dict[str, Any]], key: str) -> float:
    """Return the median of what some runs showed."""
    return float(statistics.median(run[key] for run in runs))


def check(runs: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Say whether all ways did the same training.

    Exits where they did not: other parameters, types or steps, or losses too far apart.
    """
    first = runs[0][1]
    for way, run in runs:
        same = all(run[key] == first[key] for key in ("parameters", "types", "steps"))
        near = (
            abs(run["first"] - first["first"]) < FIRST and abs(run["last"] - first["last"]) < LAST
        )
        if not (same and near):
            sys.exit(f"{way} did not train as {runs[0][0]} did:\n{run}\n{first}")
    optimisers = ", ".join(f"{way} {run['optimiser']}" for way, run in dict(runs).items())
    print(
        f"\nEach trained {first['parameters']} parameters for {first['steps']} steps: {optimisers}"
    )


if __name__ == "__main__":
    main()
