"""What a catalog derives from its subsets: which there are, what is asked, what is refused."""

import pytest

from matcg.config.catalog import Catalog
from matcg.config.derived_options import DerivedOptions
from matcg.config.explain import validate
from matcg.errors import ConfigError
from matcg.identity import of_subset

RAW = {
    "name": "c",
    "reader": "medmat",
    "options": {"files": "{id}.json"},
    "elements": ["modality", "area", "task"],
    "subsets": [
        {"id": "a", "modality": "CT", "area": "Brain", "task": "State", "datasets": ["1"]},
        {"id": "b", "modality": "CT", "area": "Brain", "task": "Level", "datasets": ["2"]},
        {"id": "c", "modality": "MRI", "area": "Brain", "task": "State"},
        {"id": "d", "modality": ["CT", "MRI"], "area": "Lung", "task": "State"},
    ],
}
TASKS = ["orientation", "quality", "modality", "area"]


def catalog(derived: object, **changes: object) -> Catalog:
    return validate(Catalog, {**RAW, "derived": derived, **changes}, "c.yaml")


def test_each_combination_of_the_other_elements_is_asked_each_task() -> None:
    found = {each.id: each for each in catalog(TASKS).subsets[4:]}
    assert list(found) == [
        *(f"ct-brain-{task}" for task in TASKS),
        *(f"mri-brain-{task}" for task in TASKS),
        # What has two modalities has no certain one.
        *("ct-mri-lung-orientation", "ct-mri-lung-quality", "ct-mri-lung-area"),
    ]
    one = found["ct-brain-area"]
    assert one.elements == {"modality": ("CT",), "area": ("Brain",), "task": ("Area",)}
    assert (one.options["of"], one.datasets, one.asks) == (["a", "b"], ("1", "2"), "area")
    assert (one.options["labels"], one.options["choices"]) == (["Brain"], ["Brain", "Lung"])
    assert found["ct-mri-lung-quality"].values("modality") == {"CT", "MRI"}
    assert found["ct-brain-quality"].asks is None


def test_what_it_is_prepared_of_is_part_of_its_identity() -> None:
    asked = catalog(TASKS).preparation("ct-brain-quality")
    options = DerivedOptions.parse(asked.subset.options)
    assert [each.subset.id for each in options.of] == ["a", "b"]
    assert options.of[0].options == {"files": "{id}.json"}
    assert len(options.labels) == len(options.choices) == 4
    others = [
        catalog(TASKS, options={"files": "{id}.jsonl"}),
        catalog({"tasks": TASKS, "seed": 7}),
        catalog(TASKS, subsets=RAW["subsets"][1:]),
    ]
    digests = {of_subset(each.preparation("ct-brain-quality")) for each in others}
    assert len(digests | {of_subset(asked)}) == 4


def test_wrong_options_and_names_of_tasks_are_the_user_s_to_say() -> None:
    derived = {
        "tasks": {"quality": "Sharpness", "modality": "Kind"},
        "also": {"modality": ["Ultrasound", "X-ray"]},
    }
    kind = catalog(derived).subset("ct-brain-kind")
    assert kind.options["choices"] == ["CT", "MRI", "Ultrasound", "X-ray"]
    assert kind.values("task") == {"Kind"}


def test_blocks_of_a_grid_are_apart() -> None:
    values = {"modality": ["CT", "MRI"], "task": ["State"]}
    found = validate(
        Catalog,
        {
            **RAW,
            "elements": ["modality", "task"],
            "subsets": [],
            "grid": {"values": values, "blocks": {"x": {}, "y": {}}},
            "derived": ["quality"],
        },
        "c.yaml",
    )
    derived = {each.id: each for each in found.subsets if each.reader == "derived"}
    assert list(derived) == [f"{b}-{m}-quality" for b in "xy" for m in ("ct", "mri")]
    assert {each.block for each in derived.values()} == {"x", "y"}


@pytest.mark.parametrize(
    ("derived", "changes", "message"),
    [
        (["qualty"], {}, "derived.tasks: there is no 'qualty'. Did you mean 'quality'"),
        (["task"], {}, "derived.tasks: there is no 'task'"),
        ({"tasks": ["area"], "also": {"are": ["x"]}}, {}, "derived.also: there is no 'are'"),
        (
            {"tasks": {"quality": "State"}},
            {},
            "'a' has the task 'State' already.*Derived st",
        ),
        (["area"], {"subsets": RAW["subsets"][:3]}, "'area' has one answer in .*, .'Brain'.; name"),
        ({"task": ["area"]}, {}, "derived.*tasks"),
        ([], {}, "derived.*tasks"),
    ],
)
def test_mistakes(derived: object, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"c.yaml: .*{message}"):
        catalog(derived, **changes)
