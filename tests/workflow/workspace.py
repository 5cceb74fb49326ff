"""A small workspace: this workflow with a catalog, a backbone and steps of toy size."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.util import cache_from_source
from pathlib import Path

from repository import ROOT as REPO
from repository import environment

COPIED = (
    "Snakefile",
    "config.yaml",
    "catalogs",
    "rules",
    "workflow",
    "combinations",
    "protocols",
    "slurm",
)
ENVS = ("data", "train", "vllm", "report")

CATALOG = """\
name: toy
reader: phantom
elements: [modality, area, task]
split: {train: 50, test: 10}
subsets:
"""
BACKBONE = """\
name: toy
description: no weights worth the name
weights: toy
image: {size: 8}
prompt: "{question}"
recipes:
  full: {learning_rate: 1.0e-3, epochs: 1, batch_size: 8}
  slow: {learning_rate: 1.0e-4, epochs: 1, batch_size: 8}
resources: {mem_mb: 100, threads: 1}
"""
EXPERIMENT = """\
name: toy
catalog: toy
targets: [ct-brain-state]
rules: [fixed-task]
samples: 20
arms: {baseline: {}, cg: {}, control: {rule: unrelated}}
backbones: [toy]
recipe: full
"""

# Steps that take no time and write what the rules declare, with a digest of all that decides it:
# what is stale anywhere ends in other tables. The real ones have tests of their own.
STEPS = {
    "data/prepare.py": """
        from matcg import versions

        def prepare(asked, root, out, threads):
            assert threads >= 1
            out.mkdir(parents=True, exist_ok=True)
            for name in ("train.parquet", "test.parquet", "quarantine.tsv"):
                (out / name).write_text(f"{name} {versions.PREPARE} {asked.canonical()}")
            (out / "summary.json").write_text('{"given": {"test": 10}}')

        def summarise(folders, out, sources, minimums, lengths):
            assert minimums and all(path.exists() for path in lengths)
            for name in ("summary.tsv", "quarantine.tsv", "images.tsv"):
                (out / name).write_text(" ".join(folder.name for folder in folders))

        """,
    "data/leaks.py": """
        from dataclasses import dataclass, field

        @dataclass
        class Search:
            catalog: str
            targets: list
            sources: list
            distance: int
            folders: dict
            known: list = field(default_factory=list)

        def search(asked, out):
            assert asked.distance == 24 and asked.targets and asked.sources and not asked.known
            for side, names in (("test", asked.targets), ("train", asked.sources)):
                assert all((asked.folders[name] / f"{side}.parquet").exists() for name in names)
            for name in ("leaks.tsv", "overlaps.tsv"):
                (out / name).write_text(repr(asked))
        """,
    "data/mix_samples.py": """
        from matcg import versions
        from matcg.identity import digest

        def make_mix(mix, folders, forbidden, size, out, policy, distance, lengths):
            assert len(lengths) == len(folders) * len(mix.measured)
            names = [name for name, _ in mix.parts]
            assert size == mix.total and distance == 24 and policy in ("drop", "report")
            assert set(folders) == {*names, *mix.targets}
            assert not set(forbidden) & set(names)
            train = [(folders[name] / "train.parquet").read_text() for name in names]
            test = [(folders[name] / "test.parquet").read_text() for name in mix.targets]
            out.write_text(digest(mix.parts, mix.seed, mix.labels, train, test, versions.MIX))
        """,
    "data/leak_audit.py": """
        def audit(uses, mixes, folders, leaks, out, policy):
            assert leaks.exists() and policy in ("drop", "report")
            for catalog, mix, target in uses:
                assert mixes[mix].exists() and (folders[target] / "test.parquet").exists()
            for name in ("audit.tsv", "leaked.tsv"):
                (out / name).write_text(repr(uses))
        """,
    "models/lengths.py": """
        def measure(backbone, samples, out, measured):
            assert set(samples) == {"train", "test"} and len(measured) == 8
            out.write_text("{}")
        """,
    "train/finetune.py": """
        from matcg import versions
        from matcg.identity import digest
        from matcg.models.identity import settings

        def finetune(mix, data, backbone, recipe, seed, out, threads, store, minutes, nodes):
            from pathlib import Path
            assert store == out / "unfinished" and minutes > 0 and nodes == 1
            assert Path(backbone.weights).is_dir() and data.is_dir() and threads >= 1
            (out / "weights").mkdir(parents=True, exist_ok=True)
            known = (recipe.canonical(), seed, settings(backbone), mix.read_text())
            (out / "weights/w").write_text(digest(versions.FINETUNE, *known))
            (out / "metrics.jsonl").write_text(mix.read_text())
            (out / "provenance.json").write_text("{}")
            with open("trained.log", "a") as log:
                log.write(f"{out}\\n")
        """,
    "evaluate/predict.py": """
        from dataclasses import dataclass
        from matcg import versions
        from matcg.identity import digest
        from matcg.models.identity import settings

        @dataclass
        class Group:
            runs: dict
            asked: dict
            backbone: object
            engine: dict
            store: object
            record: str

        def predict(group, out):
            assert list(group.runs)[0] == "baseline" and set(group.asked) == set(group.runs)
            assert out.stem == group.record
            for run, weights in group.runs.items():
                assert weights.is_dir() and (run == "baseline" or run in str(weights))
                known = (weights / "w").read_text() if run != "baseline" else ""
                known = (known, settings(group.backbone), group.backbone.asked())
                for sheet in group.asked[run]:
                    shown = sheet.pool.read_text() if sheet.pool else ""
                    told = (sheet.protocol.identity(), sheet.draw, sheet.test.read_text(), shown)
                    path = group.store.path(run, sheet)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(digest(versions.PREDICT, *known, *told))
            out.write_text("{}")
        """,
    "analysis/paper_cells.py": """
        from dataclasses import dataclass

        @dataclass
        class Paper:
            printed: list
            layout: object
            question: str
            catalog: dict
        """,
    "analysis/comparison.py": """
        from dataclasses import dataclass

        class Comparison:
            pass

        @dataclass
        class Claims:
            minimum_effect: float
            family: str
        """,
    "report/tables/compare.py": """
        from dataclasses import asdict, dataclass
        from pathlib import Path
        from matcg import versions
        from matcg.identity import digest
        from matcg.tsv import read_tsv

        @dataclass
        class Wanted:
            experiment: str
            claims: object
            paper: object
            protocols: list
            show_missing: bool
            minimum_questions: int
            smoke: str
            covers: dict
            reduced: list

        def compare(plan, wanted, out, leaked, mixes):
            paper = wanted.paper
            assert paper.printed == [] and leaked.exists() and (plan / "excluded.tsv").exists()
            assert paper.layout is None and paper.catalog["elements"]
            rows = read_tsv(plan / "evaluations.tsv")
            found = [row for row in rows if Path(row["path"]).exists()]
            assert found and len(found) == len(rows) or wanted.show_missing
            names = ("backbone", "catalog", "target", "run")
            lines = [
                " ".join([*(row[name] for name in names), Path(row["path"]).read_text()])
                for row in found
            ]
            protocols = [each.identity() for each in wanted.protocols]
            said = digest(versions.COMPARE, asdict(wanted.claims), protocols)
            (out / "tables").mkdir(parents=True, exist_ok=True)
            text = "\\n".join([wanted.experiment, said, *sorted(lines)])
            (out / "tables/arms.csv").write_text(text)
            (out / "headline.json").write_text('{"headline": "CG against control"}')
        """,
    "report/figures/all.py": """
        def draw_figures(tables, plan, out, experiment, catalog):
            assert (plan / "experiments.tsv").exists() and (plan / "mixes.tsv").exists()
            assert experiment in tables.parent.name and "modality" in catalog["elements"]
            assert catalog["subsets"]["ct-brain-state"]["elements"]["area"] == ["brain"]
            out.mkdir(parents=True, exist_ok=True)
            (out / "arms.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        """,
    "report/page/page.py": """
        def write_report(experiments, plan, out, config, world):
            assert (plan / "summary.md").exists()
            assert all((folder / "headline.json").exists() for folder in experiments.values())
            out.write_text("<html/>")
        """,
    "report/figures/leak_pairs.py": """
        def draw_leak_pairs(leaks, plan, out):
            assert leaks.exists() and (plan / "subsets.tsv").exists()
            out.write_text("")
            out.with_suffix(".svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        """,
    "phantom/contact_sheet.py": """
        def draw_sheet(catalog, out):
            out.write_text("")
        """,
}


class Forks:
    """A process that has imported Snakemake, and forks for each call; all share its hash seed."""

    def __init__(self, *modules: str) -> None:
        """Have these modules imported too."""
        self.modules = modules
        self.process: subprocess.Popen[str] | None = None

    def call(
        self, folder: Path, arguments: tuple[str, ...], scripts: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake and return what it said; stdout and stderr are one text.

        Scripts run in processes of their own, or "inside" of Snakemake's, or in "forks" of that.
        """
        self.process = process = self.process or self._start()
        assert process.stdin
        assert process.stdout
        with tempfile.NamedTemporaryFile("r") as said:
            asked = (str(folder), arguments, environment(), said.name, scripts)
            try:
                print(json.dumps(asked), file=process.stdin, flush=True)
                status = process.stdout.readline()
                assert status, "the process that forks has ended; what it said is above"
            except BaseException:  # a test's time is over, or the user's patience
                os.killpg(process.pid, signal.SIGKILL)
                self.process = None
                raise
            return subprocess.CompletedProcess(arguments, int(status), said.read())

    def _start(self) -> subprocess.Popen[str]:
        """Start the process, which ends with this one."""
        script = Path(__file__).with_name("forked_snakemake.py")
        return subprocess.Popen(
            [sys.executable, str(script), *self.modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


FORKS = Forks()
# For real runs, most of whose jobs else take longer to import this than for anything else.
REAL = Forks(
    "torch", "transformers.models.llava.modeling_llava", "scipy.stats", "matplotlib.figure"
)


def real(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake as a user does on two cores, but for where its scripts run: in forks."""
    return REAL.call(folder, ("--cores", "2", *arguments), "forks")


class Workspace:
    """A folder with a workflow in it, and the process whose forks run it."""

    def __init__(self, root: Path, forks: Forks = FORKS) -> None:
        self.root, self.forks = root, forks

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake and return what it said; stdout and stderr are one text."""
        return self.forks.call(self.root, arguments)

    def quickly(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run all jobs one after the other, their scripts in Snakemake's own process."""
        # Snakemake's default scheduler starts a solver in a process of its own for each job.
        calm = ("--cores", "1", "--scheduler", "greedy")
        return self.forks.call(self.root, (*calm, *arguments), "inside")

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text of a file, which must hold it."""
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new))
        # Which is taken for that of a text as long, written in the same second.
        Path(cache_from_source(self.root / path)).unlink(missing_ok=True)

    def without_vllm(self) -> None:
        """Let transformers answer for the shipped backbone: vLLM starts slowly."""
        path = "backbones/tiny-llava.yaml"
        self.edit(path, "\nrecipes:", "\nengine: transformers\nrecipes:")

    def write(self, path: str, text: str) -> None:
        """Write a file and the folders above it."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)


def build(root: Path) -> Workspace:
    """Return a new workspace in `root`."""
    workspace = Workspace(root)
    for name in COPIED:
        copy = shutil.copytree if (REPO / name).is_dir() else shutil.copy2
        copy(REPO / name, root / name)
    for name, text in STEPS.items():
        lines = [line.removeprefix(" " * 8) for line in text.splitlines()[1:]]
        workspace.write(f"workflow/matcg/{name}", "\n".join(lines))
    for name in ENVS:
        workspace.write(f"envs/{name}.yaml", "dependencies: [python]\n")
    triplets = [
        (m, a, t) for m in ("ct", "us") for a in ("brain", "lung") for t in ("state", "side")
    ]
    rows = [f"  - {{id: {m}-{a}-{t}, modality: {m}, area: {a}, task: {t}}}" for m, a, t in triplets]
    workspace.write("catalogs/toy.yaml", CATALOG + "\n".join(rows) + "\n")
    workspace.write("backbones/toy.yaml", BACKBONE)
    workspace.write("backbones/toy/config.json", "{}")
    workspace.write("experiments/toy.yaml", EXPERIMENT)
    workspace.write("config.yaml", "experiments: [toy]\nengine: {enforce_eager: true}\n")
    return workspace
