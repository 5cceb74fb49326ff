"""The contract of every catalog, rule, backbone and experiment file; failures say what to mend.

A new file is tested by being there; nothing has to be registered.
"""

import re
from pathlib import Path

import pytest

from matcg.config.catalog import Catalog
from matcg.config.library import FOLDERS, load
from matcg.config.project import load_project
from matcg.config.rule import Rule
from matcg.data import readers
from matcg.data.look import READER
from matcg.plan.combinations import Combination, combine
from matcg.plan.enumerate import make_plan

REPO = Path(__file__).parents[3]
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


def test_the_experiments_of_the_page_on_sources_are_valid(tmp_path: Path) -> None:
    page = (REPO / "docs/sources.md").read_text(encoding="utf-8")
    found = re.findall(r"^`experiments/(\w+)\.yaml`:\n\n```yaml\n(.*?)^```$", page, re.M | re.S)
    assert [name for name, _ in found] == ["omnimedvqa", "slake"]
    for name, text in found:
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        assert load("experiment", tmp_path / f"{name}.yaml").catalog == f"{name}-found"


@pytest.mark.parametrize("path", of("rule"))
def test_a_rule_fits_a_shipped_catalog(path: Path) -> None:
    rule = load("rule", path)
    catalogs = [load("catalog", p) for p in sorted((REPO / "catalogs").glob("*.yaml"))]
    catalogs = [catalog for catalog in catalogs if catalog.subsets]
    fitting = [c for catalog in catalogs if fits(rule, catalog) for c in every(rule, catalog)]
    assert fitting, f"{path}: matches nothing in any catalog; mend its patterns or its list"
    for combination in fitting:
        held_out = combination.target not in combination.sources
        assert held_out == (rule.target == "held-out"), f"{path}: say `target: included` or `alone`"


def fits(rule: Rule, catalog: Catalog) -> bool:
    """Tell whether a catalog has what a rule names: elements, or the subsets of a list."""
    patterns = (*rule.sources, *rule.exclude)
    elements = {name for pattern in patterns for key in pattern for name in key.split("+")}
    named = {name for row in rule.listed for name in (row.target, *row.sources)}
    known = {subset.id for subset in catalog.subsets}
    return elements <= {*catalog.elements, "kind", "role"} and named <= known


def every(rule: Rule, catalog: Catalog) -> list[Combination]:
    """Return combinations of all targets; of blocks, which are alike, those of the first."""
    targets = [s for s in catalog.subsets if s.block == catalog.subsets[0].block]
    return [c for target in targets for c in combine(rule, catalog, target)]


@pytest.mark.parametrize("path", of("catalog"))
def test_a_catalog_can_be_planned_with(path: Path) -> None:
    catalog = load("catalog", path)
    readers.check(catalog)
    if catalog.columns:
        assert catalog.reader == READER, f"{path}: columns are read by `reader: {READER}`"
        return
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


def test_the_example_of_commands_can_be_planned() -> None:
    path = REPO / "docs/llamafactory/experiment.yaml"
    (backbone,) = load_project({"experiments": [str(path)]}, REPO).backbones.values()
    words = (*backbone.commands.train, *backbone.commands.answer)
    assert {word for word in words if word.endswith(".py")} == {"docs/llamafactory/factory.py"}
    test_an_experiment_can_be_planned(path)


@pytest.mark.parametrize("path", of("experiment"))
def test_an_experiment_can_be_planned(path: Path) -> None:
    plan = make_plan(load_project({"experiments": [str(path)]}, REPO))
    arms = {row.arm for row in plan.rows}
    assert "cg" not in arms or "control" in arms, f"{path}: compare `cg` with a `control` arm"
    assert len(arms) > 1, f"{path}: one arm alone compares nothing; add `baseline: {{}}`"
    assert len(set(plan.rows)) == len(plan.rows)
