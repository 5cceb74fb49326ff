"""MedMNIST's catalog: what the page says of neighbours and rules, and which files are fetched."""

from pathlib import Path

import pytest

from matcg.config.catalog import Catalog, SubsetSpec
from matcg.config.library import load
from matcg.config.medmnist_options import MedmnistOptions
from matcg.config.release import Links
from matcg.plan.combinations import combine
from matcg.plan.enumerate import make_plan
from matcg.plan.tables import summarise_plan
from planned import project

REPO = Path(__file__).parents[3]
# What every one of the twelve has, and the page says once.
OF_ALL = "all-data all-related all-unrelated unrelated unrelated-letters without-modality"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load("catalog", REPO / "catalogs/medmnist.yaml")


def neighbours(catalog: Catalog, target: SubsetSpec, element: str) -> str:
    near = [s for s in catalog.subsets if s.values(element) & target.values(element)]
    return ", ".join(each.id.removesuffix("mnist") for each in near if each.id != target.id)


def test_the_page_says_which_are_neighbours_and_which_rules_each_has(catalog: Catalog) -> None:
    found = [load("rule", path) for path in sorted((REPO / "combinations").glob("*.yaml"))]
    rules = [rule for rule in found if rule.target == "held-out" and not rule.listed]
    having = {s.id: {r.name for r in rules if combine(r, catalog, s)} for s in catalog.subsets}
    assert set.intersection(*having.values()) == set(OF_ALL.split())
    page = (REPO / "docs/sources.md").read_text(encoding="utf-8")
    assert ", ".join(f"`{name}`" for name in OF_ALL.split()) in page.replace("\n", " ")
    for each in catalog.subsets:
        near = [neighbours(catalog, each, e) or "none" for e in ("modality", "area", "task")]
        values = " / ".join("".join(each.values(e)) for e in catalog.elements)
        own = ", ".join(sorted(having[each.id] - set(OF_ALL.split())))
        line = f"| {each.id.removesuffix('mnist')} | {' | '.join([values, *near, own])} |"
        assert line in page, line


def test_the_files_that_are_fetched_are_those_that_are_read(catalog: Catalog) -> None:
    assert isinstance(catalog.release, Links)
    assert len(catalog.release.md5) == 48
    assert not catalog.release.unverified
    options = [
        MedmnistOptions.parse({**catalog.options, **each.options}) for each in catalog.subsets
    ]
    read = {o.file(s.id) for o, s in zip(options, catalog.subsets, strict=True)}
    assert read == set(catalog.release.chosen)
    for size in (28, 64, 128, 224):
        own = {o.model_copy(update={"size": size}).file("chestmnist") for o in options}
        assert own <= set(catalog.release.md5)


def test_a_retina_is_graded_and_organs_differ_in_view_alone(catalog: Catalog) -> None:
    assert catalog.subset("retinamnist").values("task") == {"Level"}
    organs = [catalog.subset(f"organ{view}mnist") for view in "acs"]
    for one in organs:
        for other in organs:
            assert catalog.shared(one, other) >= {"modality", "area", "task"}
            assert ("view" in catalog.shared(one, other)) == (one is other)


def test_plan_says_whose_digest_is_not_published(catalog: Catalog) -> None:
    assert catalog.release is not None
    asked = {"catalog": "medmnist", "targets": ["retinamnist"], "rules": ["all-related"]}
    for digest, says in (("0" * 32, False), ("unverified", True)):
        release = catalog.release.model_copy(
            update={"md5": {"retinamnist_64.npz": digest}, "files": ("*",)}
        )
        sources = "its-images.csv" if says else None
        other = catalog.model_copy(update={"release": release, "sources": sources})
        rules = {"all-related": load("rule", REPO / "combinations/all-related.yaml")}
        given = project({**asked, "arms": {"cg": {}}}, catalogs={"medmnist": other}, rules=rules)
        said = summarise_plan(make_plan(given), given, [], {})
        line = "- Catalog medmnist: no digest is published of retinamnist_64.npz (unverified)"
        assert (line in said) == says
        assert ("published of the images of its source datasets (unverified)" in said) == says
