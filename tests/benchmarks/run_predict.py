"""Measure prediction: prints the tables of docs/benchmarks.md.

    PYTHONPATH=workflow python tests/benchmarks/run_predict.py rates --repeats 3
    PYTHONPATH=workflow python tests/benchmarks/run_predict.py rates --answers boxes
    PYTHONPATH=workflow python tests/benchmarks/run_predict.py sharing --runs 1 4 16 64

`rates`: questions a second of what the rule does, of a bare vLLM loop with the same settings, and
of transformers' `generate`, on the same runs and questions, each in a process of its own, in turn.
Boxes are structured text: the rule against the bare loop with the same patterns.
`sharing`: wall time of some runs on four targets, by one engine and by an engine a run.

The runs are copies of the tiny backbone with untrained weights: a letter costs the same, of boxes
they say as many as they may.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from matcg import forms
from matcg.config.backbone import Backbone
from matcg.config.library import load
from matcg.config.protocol import Protocol
from matcg.config.workflow import Engine
from matcg.evaluate.kept_answers import Store
from matcg.evaluate.own_process import in_other_process
from matcg.evaluate.predict import Group, predict
from matcg.evaluate.question_sets import read_asked
from matcg.forms.choice import OPTION_LETTERS
from matcg.models.prompts import picture_of, prompt_of, single_tokens, view_of
from matcg.phantom.world import generate
from matcg.samples import Sample, read_samples, write_samples

ROOT = Path(__file__).parents[2]
TARGETS = {
    "letters": ("ct-brain-state", "us-knee-diseases", "xray-lung-level", "mri-breast-side"),
    "boxes": (
        "ct-brain-detection",
        "us-knee-detection",
        "xray-lung-detection",
        "mri-breast-detection",
    ),
}
PROTOCOL = Protocol(name="letters")
# The tiny backbone takes fewer tokens than vLLM is told to keep memory for at most.
SETTINGS = Engine().model_dump(exclude={"runs", "max_model_len"})
BATCH = 32  # of `generate`


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("part", choices=["rates", "sharing", *WAYS])
    parser.add_argument("--answers", choices=list(TARGETS), default="letters")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--questions", type=int, default=300, help="a target")
    parser.add_argument("--folder", type=Path, help="of an earlier call, for the ways themselves")
    told = parser.parse_args()
    if told.part in WAYS:
        print(json.dumps(WAYS[told.part](told.folder, told.runs[0])))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = max(told.runs) if told.part == "sharing" else 4
        make(folder, runs, told.questions, TARGETS[told.answers])
        if told.part == "sharing":
            sharing(folder, told.runs)
        else:
            ways = ("rule", "vllm", "generate") if told.answers == "letters" else ("rule", "vllm")
            rates(folder, told.repeats, ways)


def make(folder: Path, runs: int, questions: int, targets: Sequence[str]) -> None:
    """Write questions of four targets and weights of some runs."""
    from matcg.tiny.make import save_backbone
    from matcg.tiny.model import add_places, make_model, make_tokenizer

    catalog = load("catalog", ROOT / "catalogs/phantom.yaml")
    for target in targets:
        samples = generate(catalog.subset(target), {"seed": 0}, "test", questions)
        write_samples(folder / "data/phantom" / target / "test.parquet", samples)
    tokenizer = make_tokenizer()
    add_places(tokenizer)
    for number in range(runs):
        save_backbone(make_model(tokenizer, number), tokenizer, folder / f"weights/{number}")


def backbone(folder: Path) -> Backbone:
    """Return the tiny backbone with weights of the first run."""
    found: Backbone = load("backbone", ROOT / "backbones/tiny-llava.yaml")
    changes = {"weights": str(folder / "weights/0"), "coordinates": "tiny"}
    return found.model_copy(update=changes)


def group(folder: Path, runs: int, store: Path) -> Group:
    """Return a group of the first runs, asked about all targets."""
    names = [f"full/{number}/seed0" for number in range(runs)]
    places = [("phantom", each, each, "", f"phantom/{each}.parquet") for each in targets(folder)]
    asked = dict.fromkeys(names, places)
    return Group(
        {name: folder / f"weights/{number}" for number, name in enumerate(names)},
        read_asked(asked, {"letters": PROTOCOL}, folder / "data"),
        backbone(folder),
        SETTINGS,
        Store(store),
    )


def by_rule(folder: Path, runs: int) -> dict[str, float]:
    """Return seconds from a started engine to kept answers, as the rule does it."""
    with tempfile.TemporaryDirectory() as name:
        asked = group(folder, runs, Path(name))
        first, *rest = asked.runs
        engine = asked.start(asked.runs[first], [])
        start = clocks()
        asked.answer(first, asked.asked[first], engine)
        for run in rest:
            engine.load(asked.runs[run])
            asked.answer(run, asked.asked[run], engine)
        return timed(folder, runs, start)


def by_vllm(folder: Path, runs: int) -> dict[str, float]:
    """Return seconds of a bare loop over vLLM: pictures decoded once, weights swapped."""
    from matcg.evaluate.vllm_start import ENVIRONMENT

    os.environ.update(ENVIRONMENT, VLLM_CPU_KVCACHE_SPACE="1", VLLM_CPU_OMP_THREADS_BIND="nobind")
    from vllm import LLM, SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    base = backbone(folder)
    options = {name: value for name, value in SETTINGS.items() if value is not None}
    llm = LLM(
        model=base.weights, dtype=base.dtype, seed=0, limit_mm_per_prompt={"image": 1}, **options
    )
    letters = list(single_tokens(llm.get_tokenizer(), base, OPTION_LETTERS).values())
    start = clocks()
    prompts = [
        {"prompt": prompt_of(s, base), "multi_modal_data": {"image": picture_of(s, base)}}
        for s in questions(folder)
    ]
    params = []
    for sample in questions(folder):
        (wording,) = forms.of(sample).wordings(sample, PROTOCOL, view_of(base))
        said = {"max_tokens": 1, "logprob_token_ids": letters[: len(sample.options)]}
        if wording.pattern:
            form = StructuredOutputsParams(regex=wording.pattern)
            said = {"max_tokens": wording.length, "structured_outputs": form}
        params.append(SamplingParams(temperature=0, **said))
    for number in range(runs):
        if number:
            weights = str(folder / f"weights/{number}")
            llm.collective_rpc("reload_weights", kwargs={"weights_path": weights})
            llm.reset_prefix_cache()
            llm.llm_engine.engine_core.reset_encoder_cache()
        llm.generate(prompts, params, use_tqdm=False)
    return timed(folder, runs, start)


def by_generate(folder: Path, runs: int) -> dict[str, float]:
    """Return seconds of transformers' `generate`, a batch at a time, a token each."""
    import torch

    from matcg.models.loading import load_model

    base = backbone(folder)
    models = [load_model(str(folder / f"weights/{n}"), base) for n in range(runs)]
    start = clocks()
    for model, processor in models:
        processor.tokenizer.padding_side = "left"
        samples = list(questions(folder))
        for place in range(0, len(samples), BATCH):
            part = samples[place : place + BATCH]
            inputs = processor(
                text=[prompt_of(sample, base) for sample in part],
                images=[picture_of(sample, base) for sample in part],
                padding=True,
                return_tensors="pt",
            )
            with torch.inference_mode():
                model.generate(**inputs, max_new_tokens=1, do_sample=False)
    return timed(folder, runs, start)


def shared(folder: Path, runs: int) -> dict[str, float]:
    """Return the seconds of a prediction job of all runs, but for its imports."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        asked = group(folder, runs, Path(name) / "runs")
        predict(asked, Path(name) / "out.json")
    return {"seconds": time.perf_counter() - start, "starts": asked.timing.starts}


def alone(folder: Path, runs: int) -> dict[str, float]:
    """Return the seconds of one engine a run, each in a process of its own."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        asked = group(folder, runs, Path(name) / "runs")
        for run in asked.runs:
            in_other_process(asked, run)
    return {"seconds": time.perf_counter() - start, "starts": asked.timing.starts}


WAYS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "rule": by_rule,
    "vllm": by_vllm,
    "generate": by_generate,
    "shared": shared,
    "alone": alone,
}


def targets(folder: Path) -> list[str]:
    """Return the targets that there are questions of."""
    return sorted(each.name for each in (folder / "data/phantom").iterdir())


def questions(folder: Path) -> Iterator[Sample]:
    """Yield all targets' questions."""
    for target in targets(folder):
        yield from read_samples(folder / "data/phantom" / target / "test.parquet")


def clocks() -> tuple[float, float]:
    """Return seconds, and those of all cores that this process used."""
    return time.perf_counter(), time.process_time()


def timed(folder: Path, runs: int, start: tuple[float, float]) -> dict[str, float]:
    """Return questions a second since then, and a second of processor time."""
    wall, cores = (now - then for now, then in zip(clocks(), start, strict=True))
    asked = runs * len(list(questions(folder)))
    return {"rate": asked / wall, "cpu": asked / cores}


def measure(way: str, folder: Path, runs: int) -> dict[str, float]:
    """Do one way in a process of its own; add the whole process's seconds."""
    command = [sys.executable, __file__, way, "--folder", str(folder), "--runs", str(runs)]
    start = time.perf_counter()
    # One thread, as the backbone's jobs have it.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    whole = time.perf_counter() - start
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**told, "whole": whole}


def rates(folder: Path, repeats: int, ways: Sequence[str]) -> None:
    """Print questions a second of some ways, in turn, and their ratios of medians.

    Then the same of a second of processor time, which other work on the machine disturbs less.
    """
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, values in found.items():
            values.append(measure(way, folder, 4))
    for of in ("rate", "cpu"):
        middle = {way: statistics.median(each[of] for each in found[way]) for way in ways}
        for way, values in found.items():
            spread = ", ".join(f"{each[of]:.0f}" for each in values)
            ratio = middle[way] / middle["vllm"]
            print(f"| {of} | {way} | {middle[way]:.0f} | {spread} | {ratio:.2f} |", flush=True)


def sharing(folder: Path, sizes: Sequence[int]) -> None:
    """Print wall times with and without sharing engines."""
    for runs in sizes:
        together, apart = (measure(way, folder, runs) for way in ("shared", "alone"))
        one, many = together["whole"], apart["seconds"]
        starts = f"{together['starts']:.0f}"
        print(f"| {runs} | {one:.1f} | {starts} | {many:.1f} | {many / one:.1f} |", flush=True)


if __name__ == "__main__":
    main()
