"""The contract of every catalog, rule, backbone and experiment file; failures say what to mend.

A new file is tested by being there; nothing has to be registered.
"""

from pathlib import Path

import pytest

from matcg.combinations import check_elements, combine
from matcg.config import FOLDERS, load, load_project
from matcg.plan import make_plan

REPO = Path(__file__).parents[2]
FILES = [
    pytest.param(kind, path, id=path.relative_to(REPO).as_posix())
    for kind, folder in FOLDERS.items()
    for path in sorted((REPO / folder).rglob("*.yaml"))
]


def of(kind: str) -> list[object]:
    return [pytest.param(p.values[1], id=p.id) for p in FILES if p.values[0] == kind]


@pytest.mark.parametrize(("kind", "path"), FILES)
def test_the_file_is_valid_and_says_what_it_is(kind: str, path: Path) -> None:
    record = load(kind, path)
    assert path.stem in record.name, f"{path}: name it like its file, `name: {path.stem}`"
    text = record.question if kind == "experiment" else record.description
    field = "question" if kind == "experiment" else "description"
    assert text, f"{path}: add `{field}: ...`, one sentence for those who look for it"


@pytest.mark.parametrize("path", of("rule"))
def test_a_rule_fits_a_shipped_catalog(path: Path) -> None:
    rule = load("rule", path)
    catalogs = [load("catalog", p) for p in sorted((REPO / "catalogs").glob("*.yaml"))]
    fitting = []
    for catalog in catalogs:
        elements = {name for pattern in rule.sources for key in pattern for name in key.split("+")}
        if elements <= {*catalog.elements, "kind", "role"}:
            check_elements(rule, catalog)
            fitting += [c for s in catalog.subsets for c in combine(rule, catalog, s)]
    assert fitting, f"{path}: matches nothing in any catalog; mend its patterns"
    for combination in fitting:
        assert combination.target not in combination.sources


@pytest.mark.parametrize("path", of("catalog"))
def test_a_catalog_can_be_planned_with(path: Path) -> None:
    catalog = load("catalog", path)
    triplets = [tuple(sorted(s.elements.items())) for s in catalog.subsets]
    for element in catalog.elements:
        values = {value for subset in catalog.subsets for value in subset.values(element)}
        assert len(values) > 1, f"{path}: all subsets share one {element}; drop the element"
    assert len(triplets) == len(catalog.subsets)


@pytest.mark.parametrize("path", of("backbone"))
def test_a_backbone_says_what_its_jobs_need(path: Path) -> None:
    backbone = load("backbone", path)
    assert "resources" in backbone.model_fields_set, f"{path}: add `resources:` for its jobs"
    assert "full" in backbone.recipes, f"{path}: add a recipe `full`, which experiments default to"


@pytest.mark.parametrize("path", of("experiment"))
def test_an_experiment_can_be_planned(path: Path) -> None:
    plan = make_plan(load_project({"experiments": [str(path)]}, REPO))
    assert {row.arm for row in plan.rows} >= {"cg", "control"}, (
        f"{path}: compare `cg` with a `control` arm"
    )
    assert len(set(plan.rows)) == len(plan.rows)
