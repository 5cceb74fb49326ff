"""A small workspace: this workflow with a catalog, a backbone and steps of toy size."""

import shutil
import subprocess
from pathlib import Path

from repository import ROOT as REPO
from repository import snakemake

COPIED = (
    "Snakefile",
    "config.yaml",
    "catalogs",
    "rules",
    "workflow",
    "combinations",
    "protocols",
    "schemas",
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

# Steps that take no time and write what the rules declare; the real ones have tests of their own.
STEPS = {
    "data/prepare.py": """
        def prepare(asked, root, out, threads):
            assert threads >= 1
            out.mkdir(parents=True, exist_ok=True)
            for name in ("train.parquet", "test.parquet", "quarantine.tsv", "summary.json"):
                (out / name).write_text(asked.canonical())

        def summarise(folders, out, sources):
            for name in ("summary.tsv", "quarantine.tsv", "images.tsv"):
                (out / name).write_text(" ".join(folder.name for folder in folders))

        """,
    "data/leaks.py": """
        from types import SimpleNamespace as Search

        def search(data, asked, out):
            (one,) = asked
            assert one.distance == 24 and one.targets and one.sources and not one.known
            for side, names in (("test", one.targets), ("train", one.sources)):
                folders = [data / one.catalog / name for name in names]
                assert all((folder / f"{side}.parquet").exists() for folder in folders)
            for name in ("leaks.tsv", "overlaps.tsv"):
                (out / name).write_text(repr(asked))

        def leaks_by_target(path):
            assert path.exists()
            return {}
        """,
    "data/mix.py": """
        def make_mix(mix, folders, forbidden, size, out, leaks):
            assert size == sum(n for _, n in mix.parts)
            assert set(folders) == {name for name, _ in mix.parts}
            assert not set(forbidden) & set(folders) and forbidden and leaks == []
            out.write_text(repr(mix.parts))

        def barred(mix, policy, subsets, found):
            assert policy == "drop" and subsets
            return list(found)
        """,
    "data/audit.py": """
        def audit(uses, mixes, data, leaks, out):
            assert leaks.exists()
            for catalog, mix, target, leaky in uses:
                assert (mixes / f"{mix}.parquet").exists() and not leaky
                assert (data / catalog / target / "test.parquet").exists()
            for name in ("audit.tsv", "leaked.tsv"):
                (out / name).write_text(repr(uses))
        """,
    "train/finetune.py": """
        def finetune(mix, data, backbone, recipe, seed, out, threads, store, minutes, nodes):
            from pathlib import Path
            assert store == out / "unfinished" and minutes > 0 and nodes == 1
            assert Path(backbone.weights).is_dir() and data.is_dir() and threads >= 1
            (out / "weights").mkdir(parents=True, exist_ok=True)
            (out / "weights/w").write_text(f"{recipe.canonical()} {seed}")
            (out / "metrics.jsonl").write_text(mix.read_text())
            (out / "provenance.json").write_text("{}")
        """,
    "evaluate/predict.py": """
        from dataclasses import dataclass

        @dataclass
        class Group:
            runs: dict
            asked: dict
            backbone: object
            engine: dict
            store: object

        def predict(group, out, timing):
            assert list(group.runs)[0] == "baseline" and set(group.asked) == set(group.runs)
            names = []
            for key, weights in group.runs.items():
                assert weights.is_dir() and (key == "baseline" or key in str(weights))
                for sheet in group.asked[key]:
                    assert sheet.test.exists() and (sheet.pool is None or sheet.pool.exists())
                    names.append(f"{sheet.target}: {key}{sheet.tag}")
            out.write_text("\\n".join(names))
        """,
    "evaluate/gather.py": """
        def gather(groups, catalog, target, names, out):
            told = {line for path in groups for line in path.read_text().splitlines()}
            assert {f"{target}: {name}" for name in names} <= told
            out.write_text(repr(sorted(names)))
        """,
    "report/tables.py": """
        def compare(plan, predictions, experiment, out, printed, leaked, paper, show_missing, **_):
            assert printed == [] and leaked.exists() and paper.excluded.exists()
            assert paper.layout is None and paper.catalog["elements"]
            answered = any(predictions.rglob("*.parquet"))
            assert answered or show_missing
            (out / "tables").mkdir(parents=True, exist_ok=True)
            (out / "tables/arms.csv").write_text("arm\\n")
            (out / "headline.json").write_text('{"headline": "CG against control"}')
        """,
    "report/figures.py": """
        def draw(tables, runs, plan, out, experiment, catalog):
            assert (plan / "experiments.tsv").exists() and (plan / "mixes.tsv").exists()
            assert experiment == "toy" and catalog["elements"] == ["modality", "area", "task"]
            assert catalog["subsets"]["ct-brain-state"]["elements"]["area"] == ["brain"]
            out.mkdir(parents=True, exist_ok=True)
            (out / "arms.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        """,
    "report/html.py": """
        def write(results, experiments, out, config):
            out.write_text("<html/>")
        """,
    "report/leak_pairs.py": """
        def draw(data, out):
            assert (data / "leaks.tsv").exists()
            out.write_text("")
            out.with_suffix(".svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        """,
    "phantom/sheet.py": """
        def draw(catalog, out):
            out.write_text("")
        """,
}


class Workspace:
    """A folder with a workflow in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake and return what it said; stdout and stderr are one text."""
        return snakemake(self.root, *arguments)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text of a file, which must hold it."""
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new))

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
