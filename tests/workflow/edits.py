"""Edits of a small workspace that decide some output, and a workspace to make them in."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from workspace import REPO, Workspace

Edit = tuple[str, str, str]

EXPERIMENT, BACKBONE, CATALOG = "experiments/toy.yaml", "backbones/toy.yaml", "catalogs/toy.yaml"
VERSIONS, RECIPE = "workflow/matcg/versions.py", "{learning_rate: 1.0e-3, epochs: 1, batch_size: 8}"


def version(step: str) -> Edit:
    """Return the edit that raises the version of a step."""
    number = re.search(rf"^{step} = (\d+)", (REPO / VERSIONS).read_text(), re.MULTILINE)
    assert number
    return VERSIONS, f"\n{step} = {number[1]}", f"\n{step} = 90"


def recipe(settings: str) -> Edit:
    """Return the edit that trains by other settings."""
    return BACKBONE, RECIPE, settings


# What decides the output of some rule, by name.
EDITS: dict[str, Edit] = {
    "learning rate": recipe("{learning_rate: 2.0e-3, epochs: 1, batch_size: 8}"),
    "epochs": recipe("{learning_rate: 1.0e-3, epochs: 3, batch_size: 8}"),
    "adapters": recipe(RECIPE.replace("}", ", method: lora, rank: 4}")),
    "prompt": (BACKBONE, 'prompt: "{question}"', 'prompt: "Look. {question}"'),
    "dtype": (BACKBONE, "\nprompt:", "\ndtype: bfloat16\nprompt:"),
    "geometry": (BACKBONE, "{size: 8}", "{size: 8, geometry: pad}"),
    "engine": (BACKBONE, "\nrecipes:", "\nengine: transformers\nrecipes:"),
    "weights": ("backbones/toy/config.json", "{}", '{"a": 1}'),
    "split": (CATALOG, "test: 10", "test: 9"),
    "split seed": (CATALOG, "test: 10", "test: 10, seed: 1"),
    "reader options": (CATALOG, "\nelements:", "\noptions: {seed: 2}\nelements:"),
    "world": (CATALOG, "\nelements:", "\noptions: {world: composed}\nelements:"),
    "leaks": (EXPERIMENT, "\nsamples:", "\nleaks: report\nsamples:"),
    "samples": (EXPERIMENT, "\nsamples: 20", "\nsamples: 24"),
    "data seed": (EXPERIMENT, "\nsamples:", "\ndata_seed: 5\nsamples:"),
    "seeds": (EXPERIMENT, "\nsamples:", "\nseeds: [0, 1]\nsamples:"),
    "also asked": (EXPERIMENT, "\narms:", "\nalso: [blank-image]\narms:"),
    "family": (EXPERIMENT, "\narms:", "\nfamily: target\narms:"),
    "protocol": ("protocols/letters.yaml", "letters\n", "letters\nscoring: option-text\n"),
    "rule": ("combinations/unrelated.yaml", "area: other", "area: any"),
    "script": ("workflow/scripts/finetune.py", "import sys\n", "import sys\n\n"),
    **{
        f"version of {step}": version(step)
        for step in ("PREPARE", "LENGTHS", "MIX", "FINETUNE", "PREDICT")
    },
    **{f"version of {step}": version(step) for step in ("COMPARE", "LEAKS", "AUDIT", "REPORT")},
}
# What may come with it: on its own each makes some step of all data run again.
WITH: dict[str, tuple[Edit, ...]] = {
    "alone": (),
    "a target": ((EXPERIMENT, "[ct-brain-state]", "[ct-brain-state, us-lung-side]"),),
    "a catalog": (("config.yaml", "[toy]", "[toy, elsewhere]"),),
    "an experiment": (("config.yaml", "[toy]", "[toy, more]"),),
}


def build(workspaces: Callable[[str], Workspace], name: str) -> Workspace:
    """Return a workspace with two further experiments, one of them on another catalog."""
    mine = workspaces(name)
    text = (mine.root / EXPERIMENT).read_text()
    # That target's combination is the mix which is there already.
    more = text.replace("name: toy", "name: more").replace("ct-brain-state", "us-lung-state")
    mine.write("experiments/more.yaml", more)
    catalog = (mine.root / CATALOG).read_text()
    mine.write("catalogs/elsewhere.yaml", catalog.replace("name: toy", "name: elsewhere"))
    elsewhere = text.replace("name: toy", "name: elsewhere")
    other = elsewhere.replace("catalog: toy", "catalog: elsewhere")
    mine.write("experiments/elsewhere.yaml", other)
    return mine


def with_edits(mine: Workspace, edits: Iterable[Edit]) -> None:
    """Make edits, each where it is not made yet."""
    for path, old, new in edits:
        mine.edit(path, old, new)


@contextmanager
def edited(mine: Workspace, edits: Iterable[Edit]) -> Iterator[None]:
    """Make edits while the body runs; a script's age tells Snakemake too whether it was changed."""
    paths = [mine.root / path for path, *_ in edits]
    before = {path: (path.read_text(), path.stat()) for path in paths}
    with_edits(mine, edits)
    yield
    for path, (text, stat) in before.items():
        path.write_text(text)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
