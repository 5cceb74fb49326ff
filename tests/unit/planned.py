"""A small experiment in 27 subsets, as its files would give it, and what it costs."""

from matcg.config.backbone import Backbone
from matcg.config.catalog import Catalog
from matcg.config.experiment import Experiment
from matcg.config.explain import validate
from matcg.config.project import Project
from matcg.config.protocol import Protocol
from matcg.config.rule import Rule
from matcg.config.workflow import Config
from matcg.plan.enumerate import make_plan
from matcg.plan.price import Cost, price
from matcg.plan.throughput import Measured

MODALITIES, AREAS, TASKS = (
    ("ct", "mri", "us"),
    ("brain", "lung", "knee"),
    ("state", "level", "side"),
)
RULES = {
    "pair": {"sources": [{"modality": "same", "area": "other", "task": "same"},
                         {"modality": "other", "area": "same", "task": "same"}]},
    "related": {"sources": [{"modality": "same"}, {"area": "same"}, {"task": "same"}],
                "select": "all"},
    "unrelated": {"sources": [{"modality": "other", "area": "other", "task": "other"}],
                  "select": "all"},
}  # fmt: skip
BASE = {
    "name": "toy",
    "catalog": "world",
    "targets": ["ct-brain-state", "us-knee-side"],
    "rules": ["pair", "related"],
    "choose": {"n": 2, "seed": 1},
    "samples": 60,
    "arms": {
        "baseline": {},
        "cg": {},
        "control": {"rule": "unrelated"},
        "floor": {"rule": "related", "labels": "shuffled"},
        "ceiling": {"rule": "related", "target": 20},
    },
    "backbones": ["tiny"],
    "seeds": [0, 1],
}
PROTOCOLS = {
    p.name: p
    for p in (
        Protocol(name="letters"),
        Protocol(name="blank", image="blank"),
        Protocol(name="shots", shots=2, draws=3),
    )
}
RESOURCES = {
    "gpu": 2,
    "samples_per_second": 10,
    "questions_per_second": 5,
    "weights_mb": 500,
    "adapter_mb": 20,
}


def world() -> Catalog:
    rows = [
        {"id": f"{m}-{a}-{t}", "modality": m, "area": a, "task": t}
        for m in MODALITIES for a in AREAS for t in TASKS
    ]  # fmt: skip
    data = {
        "name": "world",
        "reader": "phantom",
        "elements": ["modality", "area", "task"],
        "split": {"train": 50, "test": 10},
        "subsets": rows,
    }
    return validate(Catalog, data, "world.yaml")


def backbone(name: str = "tiny", **changes: object) -> Backbone:
    full = {"learning_rate": 0.001, "epochs": 2, "batch_size": 8}
    data = {
        "name": name,
        "weights": "org/model",
        "revision": "1",
        "image": {"size": 8},
        "prompt": "{question}",
        "recipes": {"full": full, "slow": {**full, "learning_rate": 0.0001}},
        **changes,
    }
    return validate(Backbone, data, f"{name}.yaml")


def project(*experiments: dict[str, object], **changes: object) -> Project:
    given = experiments or ({},)
    rules = {n: validate(Rule, {"name": n, **r}, f"{n}.yaml") for n, r in RULES.items()}
    parts = {
        "experiments": tuple(validate(Experiment, {**BASE, **e}, "e.yaml") for e in given),
        "catalogs": {"world": world()},
        "rules": rules,
        "backbones": {"tiny": backbone(), "other": backbone("other")},
        **changes,
    }
    return Project(config=Config(experiments=("toy",)), roots={}, **parts)  # type: ignore[arg-type]


def priced(**resources: object) -> Project:
    """Return a project of 24 runs of 60 samples and 2 epochs, 26 evaluations of 10 questions."""
    return project(backbones={"tiny": backbone(resources={**RESOURCES, **resources})})


def costs(given: Project, measured: tuple[Measured, ...] = ()) -> list[Cost]:
    return price(make_plan(given), given, measured, {})
