"""A look at tables: the subsets that they hold, what is in none of them, and what has changed."""

import json

import pytest
import yaml

from data_makers import picture
from matcg.config.library import load
from matcg.config.project import load_project
from matcg.data.found_file import write_found
from matcg.data.look import changes, look
from matcg.data.prepare import prepare
from matcg.data.questions import read
from matcg.errors import ConfigError, DataError
from matcg.samples import read_samples

# The keys and the layout of OmniMedVQA's files, as catalogs/omnimedvqa.yaml cites them. `Chest CT
# Scan.json` says `modality`. Names of data sets and values are invented, but for that file's.
FILES = {
    "ACRIMA": ("Fundus Photography", "modality_type", ["Disease Diagnosis"]),
    "Brain Scans": ("MR (Magnetic Resonance Imaging)", "modality_type", ["Disease Diagnosis"]),
    "Chest CT Scan": ("CT(Computed Tomography)", "modality", ["Disease Diagnosis", "Modality"]),
}
OMNI = "catalogs/omnimedvqa.yaml"


def question(dataset, number, modality, key, task):
    words = ["glaucoma", "no glaucoma", "cataract", "none of these"]
    offered = dict(zip(("option_A", "option_B", "option_C", "option_D"), words, strict=True))
    return {
        "dataset": dataset,
        "question_id": f"{dataset}_{number:04d}",
        "question_type": task,
        "question": "What is shown?",
        "gt_answer": words[number // 2 % 4],
        "image_path": f"Images/{dataset}/{number // 2}.png",
        **offered,
        key: modality,
    }


@pytest.fixture
def omni(tmp_path):
    """Return a data folder in the layout of OmniMedVQA, each picture asked about twice."""
    (tmp_path / "OmniMedVQA/QA_information/Open-access").mkdir(parents=True)
    for start, (name, (modality, key, tasks)) in enumerate(FILES.items()):
        rows = [question(name, n, modality, key, tasks[n % len(tasks)]) for n in range(60)]
        if name == "Brain Scans":  # a question of two options, one of no modality
            del rows[0]["option_C"]
            rows[0]["option_D"] = ""
            rows[1]["modality_type"] = ""
        path = tmp_path / f"OmniMedVQA/QA_information/Open-access/{name}.json"
        path.write_text(json.dumps(rows))
        (tmp_path / f"OmniMedVQA/Images/{name}").mkdir(parents=True)
        for n in range(30):
            (tmp_path / f"OmniMedVQA/Images/{name}/{n}.png").write_bytes(picture(100 * start + n))
    return tmp_path


@pytest.fixture
def shipped(request):
    return request.config.rootpath / OMNI


def catalog(folder, shipped, area="{column: dataset, map: {ACRIMA: Eye, Brain Scans: Brain}}"):
    """Write the shipped catalog with a map of areas into a folder, and return its file."""
    file = folder / "omnimedvqa.yaml"
    text = shipped.read_text(encoding="utf-8").replace("  area: dataset", f"  area: {area}")
    file.write_text(text, encoding="utf-8")
    return file


def looked(folder, shipped, *area):
    file = catalog(folder, shipped, *area)
    write_found(load("catalog", file), file, folder, folder / "apart")
    return load("catalog", folder / "omnimedvqa-found.yaml")


def test_omnimedvqa_s_layout_becomes_a_catalog(omni, shipped):
    found = looked(omni, shipped, "{column: dataset, map: {ACRIMA: Eye, Chest CT Scan: Chest}}")
    assert [(each.id, dict(each.elements), each.rows) for each in found.subsets] == [
        (
            "ct-computed-tomography-chest-disease-diagnosis",
            {
                "modality": ("CT(Computed Tomography)",),
                "area": ("Chest",),
                "task": ("Disease Diagnosis",),
            },
            30,
        ),
        (
            "ct-computed-tomography-chest-modality",
            {
                "modality": ("CT(Computed Tomography)",),
                "area": ("Chest",),
                "task": ("Modality",),
            },
            30,
        ),
        (
            "fundus-photography-eye-disease-diagnosis",
            {
                "modality": ("Fundus Photography",),
                "area": ("Eye",),
                "task": ("Disease Diagnosis",),
            },
            60,
        ),
    ]
    assert (found.name, found.folder) == ("omnimedvqa-found", "omnimedvqa")
    assert found.subsets[2].datasets == ("ACRIMA",)
    assert found.found.model_dump() == {
        "catalog": "omnimedvqa",
        "rows": 180,
        "set_aside": 0,
        "rare": 0,
        "one_answer": 0,
        "uncovered": {"area": {"Brain Scans": 60}},
        "left_out": {},
        "without": {"modality": 1},
    }


@pytest.mark.parametrize("balanced", ["true", "false"])
def test_its_subsets_are_prepared_as_they_were_counted(omni, shipped, balanced):
    file = catalog(omni, shipped, "dataset")
    file.write_text(file.read_text().replace("seed: 42", f"seed: 42, balanced_tests: {balanced}"))
    write_found(load("catalog", file), file, omni, omni / "apart")
    found = load("catalog", omni / "omnimedvqa-found.yaml")
    assert len(found.subsets) == 4
    for subset in found.subsets:
        asked, out = found.preparation(subset.id), omni / "out" / subset.id
        source = read(subset, {**found.options, **subset.options}, omni)
        prepare(asked, omni, out)
        sides = [read_samples(out / f"{side}.parquet") for side in ("train", "test")]
        assert len(source.pool) == subset.rows
        assert [len(side) for side in sides] == [subset.train, subset.test]
        # Two questions on one picture never part.
        assert not {s.origin for s in sides[0]} & {s.origin for s in sides[1]}
    brain = next(each for each in found.subsets if "Brain Scans" in each.datasets)
    source = read(brain, {**found.options, **brain.options}, omni)
    assert [source.load(at).options for at in range(len(source.pool))].count(
        ("glaucoma", "no glaucoma")
    ) == 1
    assert [each.reason for each in source.quarantined] == ["key missing: modality_type"]


def test_a_catalog_s_own_filter_and_split_hold_in_every_subset(omni, shipped):
    file = catalog(omni, shipped, "dataset")
    more = "options:\n"
    more += "  only: {dataset: [ACRIMA, Chest CT Scan], modality_type: [Fundus Photography]}\n"
    more += "  split_by: {path: '/(\\d)', train: [1, 2], test: [3, 4]}"
    file.write_text(file.read_text().replace("options:", more, 1))
    write_found(load("catalog", file), file, omni, omni)
    found = load("catalog", omni / "omnimedvqa-found.yaml")
    (subset,) = found.subsets
    assert subset.options["only"] == {
        "dataset": ["ACRIMA"],
        "modality_type": ["Fundus Photography"],
        "question_type": ["Disease Diagnosis"],
    }
    # Of pictures 0 to 29 those whose number begins with 1 or 2 train, and 3 and 4 are tested on.
    assert (subset.rows, subset.train, subset.test) == (48, 44, 4)
    assert found.found.set_aside == 12
    source = read(subset, {**found.options, **subset.options}, omni)
    assert (len(source.pool), source.tests.sum()) == (48, 4)


def test_a_null_in_the_map_leaves_rows_out_and_all_cells_of_a_value_are_one_subset(omni, shipped):
    area = "{column: dataset, map: {ACRIMA: null, Brain Scans: Head, Chest CT Scan: Head, X: Head}}"
    found = looked(omni, shipped, area)
    assert {each.elements["area"] for each in found.subsets} == {("Head",)}
    assert found.subsets[0].options["only"]["dataset"] == ["Brain Scans", "Chest CT Scan", "X"]
    assert found.found.left_out == {"area": {"ACRIMA": 60}}


def test_another_look_says_what_changed_and_leaves_the_file(omni, shipped):
    file = catalog(omni, shipped)
    kept, apart = omni / "omnimedvqa-found.yaml", omni / "apart"

    def again():
        return write_found(load("catalog", file), file, omni, apart)

    assert again()[-1].startswith(f"Written to {kept}")
    kept.write_text("# mine\n" + kept.read_text())
    mine = kept.read_text()
    assert again()[-1] == f"All as in {kept}."
    table = omni / "OmniMedVQA/QA_information/Open-access/ACRIMA.json"
    rows = json.loads(table.read_text())
    more = [question("ACRIMA", n, "OCT", "modality_type", "Grading") for n in range(60, 70)]
    table.write_text(json.dumps(rows[:50] + more))
    (omni / "OmniMedVQA/QA_information/Open-access/Brain Scans.json").unlink()
    file.write_text(file.read_text().replace("test: 1000", "test: 900"))
    said = again()
    assert kept.read_text() == mine
    assert [line for line in said if line.startswith(("gone", "new"))] == [
        "gone: mr-magnetic-resonance-imaging-brain-disease-diagnosis",
        "new: oct-eye-grading, 10 rows",
    ]
    assert "fundus-photography-eye-disease-diagnosis: rows: 50, was 60" in said
    assert "found: rows: 120, was 180" in said
    assert any(line.startswith("split: ") and "900" in line for line in said)
    assert said[-1].startswith(f"The catalog of this look is {apart / kept.name}")
    assert len(load("catalog", apart / kept.name).subsets) == 2
    assert not changes(load("catalog", kept), load("catalog", kept))


ODD = ["010", "NO", "1:30", "null", "a: b", "- x", "\u00e9\u2028", "'", "#", "x" * 80, "(?)", "!"]


def test_values_of_any_spelling_come_back_from_the_file(omni, shipped):
    table = omni / "OmniMedVQA/QA_information/Open-access/ACRIMA.json"
    rows = json.loads(table.read_text())
    for at, row in enumerate(rows):
        row["question_type"] = ODD[at % len(ODD)]
    table.write_text(json.dumps(rows))
    found = looked(omni, shipped, "{column: dataset, map: {ACRIMA: Eye}}")
    values = {value for each in found.subsets for value in each.elements["task"]}
    assert values == {" ".join(text.split()) for text in ODD}
    for each in found.subsets:
        assert len(read(each, {**found.options, **each.options}, omni).pool) == each.rows == 5


def test_a_catalog_by_columns_is_planned_with_once_it_is_looked_at(omni, shipped):
    file = catalog(omni, shipped, "dataset")
    experiment = omni / "e.yaml"
    keys = yaml.safe_load((shipped.parents[1] / "experiments/phantom.yaml").read_text())
    keys |= {"name": "e", "catalog": "omnimedvqa.yaml", "rules": ["all-related"]}
    keys |= {"targets": [{"area": "ACRIMA"}], "arms": {"baseline": {}, "cg": {}}, "samples": 10}
    for key in ("published", "choose", "layout"):
        keys.pop(key, None)
    experiment.write_text(yaml.safe_dump(keys))
    root = shipped.parents[1]
    with pytest.raises(
        ConfigError, match=r"e.yaml: catalog: 'omnimedvqa' names the columns.*--conf"
    ):
        load_project({"experiments": [str(experiment)]}, root)
    write_found(load("catalog", file), file, omni, omni)
    experiment.write_text(
        experiment.read_text().replace("omnimedvqa.yaml", "omnimedvqa-found.yaml")
    )
    project = load_project({"experiments": [str(experiment)]}, root)
    assert len(project.catalogs["omnimedvqa-found"].subsets) == 4


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("area: dataset", "area: datset", DataError, r"no subset in .*180 x no area"),
        ("area: dataset", "area: {column: dataset, map: {X: y}}", DataError, "180 x area that no"),
        ("Open-access/", "Open-acces/", DataError, "no file OmniMedVQA/QA_information/Open-acces/"),
        ("answer: gt_answer", "answer: x", DataError, "180 x key missing"),
        ("reader: questions", "reader: medmat", ConfigError, "elements: are to be columns"),
        ("area: dataset", "area: {colum: dataset}", ConfigError, "colum: unknown key"),
        ("split:", "subsets: []\nsplit:", ConfigError, "leave it out"),
        ("split:", "columns: {}\nsplit:", ConfigError, "columns: write them as"),
    ],
)
def test_what_gives_no_catalog_says_why(omni, shipped, old, new, error, message):
    file = catalog(omni, shipped, "dataset")
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(error, match=message):
        look(load("catalog", file), file, omni)
    assert not (omni / "omnimedvqa-found.yaml").exists()


def test_a_column_of_names_is_no_element(omni, shipped):
    table = omni / "OmniMedVQA/QA_information/Open-access/ACRIMA.json"
    rows = [question("ACRIMA", n, "x", "modality_type", f"t{n}") for n in range(1100)]
    table.write_text(json.dumps(rows))
    file = catalog(omni, shipped, "dataset")
    with pytest.raises(DataError, match=r"elements.task: its column 'question_type' has 110\d val"):
        look(load("catalog", file), file, omni)
