"""Ask vLLM and transformers the questions of a finished run, and list where they differ.

    PYTHONPATH=workflow python tests/benchmarks/run_parity.py results --backbone tiny-llava

Every run of the plan answers its targets by `letters` (or `--protocol`) in both engines. Fails
where fewer than 99.5 % of the answers are the same, or one differs that is no near-tie.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from matcg.config.backbone import Backbone
from matcg.config.library import load
from matcg.config.protocol import Protocol
from matcg.config.workflow import Engine as Settings
from matcg.evaluate.adapters import rank_of
from matcg.evaluate.engine import Engine
from matcg.evaluate.requests import Ask, make_asks
from matcg.evaluate.start import start
from matcg.forms import Reply
from matcg.plan.records import BASELINE, read_folders, read_places, read_runs, run_of
from matcg.samples import read_samples

ROOT = Path(__file__).parents[2]
SHARE = 0.995
NEAR_TIE = 1e-3  # between the log-probabilities of the two best options


@dataclass
class Tally:
    """What was compared: answers, the largest difference of a log-probability, seconds."""

    answers: int = 0
    largest: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    unequal: list[tuple[str, str, float]] = field(default_factory=list)  # run, sample, gap

    def add(self, run: str, asks: Sequence[Ask], pairs: Sequence[tuple[Reply, Reply]]) -> None:
        """Compare two engines' replies."""
        for ask, (first, second) in zip(asks, pairs, strict=True):
            a, b = np.array(first.logprobs), np.array(second.logprobs)
            self.answers += 1
            self.largest = max(self.largest, float(np.abs(a - b).max()))
            if a.argmax() != b.argmax():
                best, next_best = np.sort(a)[:-3:-1]
                self.unequal.append((run, ask.sample_id, float(best - next_best)))

    def report(self) -> bool:
        """Print what was found; return whether the engines agree."""
        share = 1 - len(self.unequal) / self.answers
        times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        print(
            f"{self.answers} answers, {share:.2%} the same, largest difference {self.largest:.2g}"
        )
        print(times)
        for run, sample_id, gap in self.unequal:
            print(f"{run}\t{sample_id}\tbest two {gap:.2g} apart")
        return share >= SHARE and all(gap < NEAR_TIE for *_, gap in self.unequal)


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--backbone", default="tiny-llava")
    parser.add_argument("--protocol", default="letters")
    told = parser.parse_args()
    backbone: Backbone = load("backbone", ROOT / "backbones" / f"{told.backbone}.yaml")
    protocol: Protocol = load("protocol", ROOT / "protocols" / f"{told.protocol}.yaml")
    tally = Tally()
    compare(told.results, backbone, protocol, tally)
    sys.exit(0 if tally.report() else "the engines do not agree")


def compare(results: Path, backbone: Backbone, protocol: Protocol, tally: Tally) -> None:
    """Let every run answer its targets in both engines."""
    asked = planned(results, backbone.name)
    weights_of = weights(results, backbone)
    asks = {
        folder: make_asks(read_samples(folder / "test.parquet"), protocol, backbone)
        for folder in {folder for folders in asked.values() for folder in folders}
    }
    engines = dict(started(backbone, [weights_of[run] for run in asked]))
    for run, folders in asked.items():
        own = weights_of[run]
        adapter = own if run != BASELINE and rank_of(own) else None
        for engine in engines.values():
            engine.load(Path(backbone.weights) if adapter else own)
        for folder in folders:
            replies = []
            for name, engine in engines.items():
                begun = time.perf_counter()
                replies.append(engine.ask(asks[folder], adapter))
                tally.seconds[name] += time.perf_counter() - begun
            tally.add(run, asks[folder], list(zip(*replies, strict=True)))


def planned(results: Path, backbone: str) -> dict[str, list[Path]]:
    """Return each run's targets, as folders of their samples.

    The plan's paths are of the folder that holds `results`.
    """
    folders = read_folders(results / "plan")
    asked: dict[str, set[Path]] = defaultdict(set)
    for name, catalog, target, run in read_places(results / "plan"):
        if name == backbone:
            asked[run_of(run)].add(results.parent / folders[catalog, target])
    return {run: sorted(found) for run, found in asked.items()}


def weights(results: Path, backbone: Backbone) -> dict[str, Path]:
    """Return the folder of each run's weights."""
    runs = read_runs(results / "plan").items()
    own = {
        key: results.parent / run / "weights" for (name, key), run in runs if name == backbone.name
    }
    return {BASELINE: Path(backbone.weights), **own}


def started(backbone: Backbone, folders: Iterable[Path]) -> Iterator[tuple[str, Engine]]:
    """Yield both engines, with room for the adapters in some folders."""
    rank = max(map(rank_of, folders))
    for name in ("vllm", "transformers"):
        chosen = backbone.model_copy(update={"engine": name})
        yield name, start(backbone.weights, chosen, Settings().model_dump(), rank=rank)


if __name__ == "__main__":
    main()
