"""The loader: what it reads, and that each mistake gives one line that leads to the right key."""

import difflib
from pathlib import Path

import pytest

from matcg.config.backbone import Backbone
from matcg.config.base import Model
from matcg.config.catalog import Catalog, read_sources
from matcg.config.experiment import Experiment
from matcg.config.explain import validate
from matcg.config.library import load
from matcg.config.project import data_folder, find_origins, load_project
from matcg.config.schemas import schemas
from matcg.config.workflow import Config, Limit
from matcg.config.yaml_file import read_yaml, require_readable
from matcg.errors import ConfigError
from matcg.models.identity import settings

REPO = Path(__file__).parents[3]

CATALOG = """\
name: toy
reader: phantom
elements: [modality, task]
subsets:
  - {id: a, modality: CT, task: State}
  - {id: b, modality: MRI, task: [COVID, State]}
"""
BACKBONE = """\
name: backbone
weights: weights
image: {size: 48}
prompt: "{question}"
recipes: {full: {learning_rate: 1e-4, epochs: 1, batch_size: 2}}
"""
EXPERIMENT = """\
name: toy
catalog: catalog.yaml
targets: [a]
rules: [rule.yaml]
samples: 4
arms: {cg: {}}
backbones: [backbone.yaml]
"""
RULE = "name: toy\nsources: [{task: same}]\n"
FILES = {"catalog": CATALOG, "backbone": BACKBONE, "experiment": EXPERIMENT, "rule": RULE}
MODELS: dict[str, type[Model]] = {
    "catalog": Catalog,
    "backbone": Backbone,
    "experiment": Experiment,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with one valid file of each kind, and weights."""
    for name, text in FILES.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_element_keys_are_gathered_and_one_value_is_a_list_of_one(folder: Path) -> None:
    catalog = load("catalog", folder / "catalog.yaml")
    assert catalog.subset("a").elements == {"modality": ("CT",), "task": ("State",)}
    assert catalog.subset("b").values("task") == {"COVID", "State"}


def test_a_record_survives_its_way_into_a_script(folder: Path) -> None:
    for name, model in MODELS.items():
        record = load(name, folder / f"{name}.yaml")
        assert model.model_validate_json(record.canonical()).canonical() == record.canonical()


def test_a_number_that_yaml_takes_for_text_is_read_as_meant(folder: Path) -> None:
    assert load("backbone", folder / "backbone.yaml").recipes["full"].learning_rate == 1e-4


MISTAKES = [
    ("catalog", "reader:", "raeder:", "raeder: unknown key. Did you mean 'reader'"),
    ("catalog", "{id: a, mod", "{id: a, mdo", r"subsets\[0\].mdoality: .*Did you mean 'modality'"),
    ("catalog", "{id: a,", "{id: 07,", r"07 is no plain decimal .*\"07\" in quotes"),
    ("catalog", "{id: a,", "{id: b,", r"subsets\[1\].id: 'b' stands twice"),
    ("catalog", "task: State}", "}", r"subsets\[0\] \('a'\): no value for element 'task'"),
    ("catalog", "task: State}", "task: no}", r"subsets\[0\].elements.task.*truth values.*quotes"),
    ("catalog", "[modality, task]", "[modality, task, kind]", "elements: 'kind' is reserved"),
    ("catalog", "name: toy", "name: toy\nname: b", "line 2: key 'name' stands twice"),
    ("catalog", "name: toy", "name: [", "line 3"),
    ("catalog", "name: toy", "name: ../toy", "name: '../toy'"),
    ("backbone", "1e-4", '"fast"', "recipes.full.learning_rate: 'fast' .*plain number"),
    ("backbone", "epochs: 1", "epochs: '1'", "recipes.full.epochs: '1' .*without quotes"),
    ("backbone", "epochs: 1", "epochs: 0", "recipes.full.epochs: 0 must be greater than 0"),
    ("backbone", "epochs: 1", "epoch: 1", "recipes.full.epoch: unknown key.*'epochs'"),
    ("backbone", "epochs: 1,", "", "recipes.full.epochs: is missing"),
    ("backbone", "batch_size", "method: lora, batch_size", "recipes.full: .*needs `rank`"),
    ("backbone", "weights: weights", "weights: w8s", "weights: no folder w8s"),
    ("backbone", "weights: weights", "weights: org/model", "revision: is missing"),
    ("backbone", "prompt:", "dtype: float16\nprompt:", "dtype: 'float16' .*'float32' or"),
    ("backbone", "size: ", "fill: [9, 9, 9], size: ", "image: fill: belongs to `geometry: pad`"),
    ("backbone", "{question}", "what?", r"prompt: has no \{question\}"),
    ("experiment", "cg: {}", "cg: {rule: a}", "arms.cg: takes no settings"),
    ("experiment", "cg: {}", "control: {rule: a}", "arms: 'cg'.* is missing"),
    ("experiment", "cg: {}", "cg: {}, control: {}", "arms.control: needs `rule:`"),
    ("experiment", "cg: {}", "cg: {}, x: {rule: r, labels: none}", "arms.x.labels: 'none'"),
    ("experiment", "cg: {}", "cg: {}, floor: {rule: r, target: 2}", "arms.floor.target: .*not see"),
    ("experiment", "targets: [a]", "targets: [1]", r"targets\[0\]"),
    ("experiment", "samples: ", "samples: [0, 4] #", "samples: 0 trains nothing: leave it out"),
    ("experiment", "cg: {}", "cg: {}, x: {liek: cg}", "x.liek: unknown key. Did you mean 'like'"),
    ("experiment", "cg: {}", "cg: {}, x: {rul: a}", "arms.x.rul: unknown key. Did you mean 'rule'"),
    ("experiment", "cg: {}", "cg: {}, x: {like: baselin}", "arms.x.like: .* mean 'baseline'"),
    ("experiment", "cg: {}", "cg: {}, x: {like: baseline}", "arms.x: needs `protocol:`. An"),
    ("experiment", "cg: {}", "cg: {}, x: {like: baseline, draws: 2}", "draws: .*`protocol` alone"),
    ("experiment", "cg: {}", "cg: {}, x: {like: cg, draw: 2}", "arms.x.draw: .*'draws'"),
    ("experiment", "cg: {}", "cg: {}, x:", "arms.x: needs `rule:`.*or `like: cg`"),
    ("experiment", "samples: ", "samples: yes #", r"samples\[0\]: True must be a valid integer"),
    ("experiment", "samples: ", "short: none\nsamples: ", "short: 'none' must be 'refuse'"),
    ("experiment", "cg: {}", "cg: {}, x: {like: c}", "arms.x.like: 'c' must be 'cg'"),
    ("experiment", "cg: {}", "cg: {}, x: {like: cg, rule: r}", "arms.x: needs `rule:`.*or `like"),
    ("experiment", "cg: {}", "cg: {}, control: {rule: r, samples: 9}", "control.samples: .*size"),
    ("experiment", "cg: {}", "cg: {}, x: {rule: r, target: 99}", "arms.x.target: 99 exceed"),
    ("experiment", "targets: [a]", "targets: [a, b, a]", "targets: 'a' stands twice; remove one"),
    ("experiment", "targets: [a]", "targets: [{task: a}, {task: [a]}]", 'targets: {"task.* twice'),
    ("experiment", "[rule.yaml]", "[rule.yaml, rule.yaml]", "rules: 'rule.yaml' stands twice"),
    ("experiment", "samples: ", "seeds: [1, 2, 1]\nsamples: ", "seeds: 1 stands twice; remove one"),
    ("experiment", "samples: 4", "samples: [4, 4]", "samples: 4 stands twice; remove one"),
    ("rule", "sources:", "min_sise: 3\nsources:", "min_sise: .*Did you mean 'min_size'"),
    ("rule", "sources:", "quotas: [1, 2]\nsources:", "quotas: 2 for 1 patterns"),
    ("rule", "sources:", "listed: [{target: a, sources: [b]}]\nsources:", "give one of `sources`"),
    ("rule", "sources: [{task: same}]", "target: alone\nselect: all", "select: .*`target: alone`"),
    ("rule", "sources: [{task: same}]", "python: a.py:f\nquotas: [1]", "quotas: .*beside `python`"),
    ("rule", "sources: [{task: same}]", "listed: [{target: a, sources: [b]}]\nmin_size: 3", "min"),
    ("rule", "sources:", "target: alone\nsources:", "give one of `sources`.*target: alone"),
    ("rule", "task: same", "task: smae", r"sources\[0\].task: 'smae' .*Did you mean 'same'"),
    ("rule", "sources: [{task: same}]", "python: x", "python: 'x' is not of the form"),
    ("rule", "sources: [{task: same}]", "", "give one of `sources` .*, `listed` .* and `python`"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "old", "new", "message"), MISTAKES)
def test_each_mistake_gives_one_line(
    folder: Path, kind: str, old: str, new: str, message: str
) -> None:
    path = folder / f"{kind}.yaml"
    assert old in FILES[kind]
    path.write_text(FILES[kind].replace(old, new, 1))
    with pytest.raises(ConfigError, match=message) as caught:
        load(kind, path)
    assert str(caught.value).startswith(f"{kind}.yaml")
    assert "\n" not in str(caught.value)


def test_elements_taken_as_one_are_written_as_a_list(tmp_path: Path) -> None:
    path = tmp_path / "rule.yaml"
    path.write_text("name: r\nsources:\n  - {[modality, area]: other, task: same}\n")
    assert load("rule", path).sources == ({"modality+area": "other", "task": "same"},)


@pytest.mark.parametrize("text", ["- 1\n", "", "\x00", "a: !!python/object:os.system x\n"])
def test_what_is_no_mapping_of_plain_yaml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"x.yaml"):
        read_yaml(path)


NUMBERS = [
    *("010", "-017", "1_2", "1:30", "0x1F", "0b11", "+5", "-0", "1_0.5", "1:30.5", "0_1"),
    "1_2.0e+3",
]


@pytest.mark.parametrize("text", NUMBERS)
@pytest.mark.parametrize("line", ["a: {}", "a: [1, {}]", "a: {{b: {}}}", "{}: a", "a: !!int {}"])
def test_a_number_that_is_not_what_it_looks_like_is_refused(
    tmp_path: Path, text: str, line: str
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"# numbers\n{line.format(text)}\n")
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert "x.yaml, line 2: " in str(caught.value)
    assert f'"{text}" in quotes' in str(caught.value)
    # In quotes it is the name that it looks like.
    path.write_text(line.replace("!!int ", "").format(f'"{text}"') + "\n")
    assert text in str(read_yaml(path))


def test_plain_numbers_and_dates_are_what_they_look_like(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: [0, 7, -12, 1.5, .5, 2., -1.0e-4, 1e-4, 08, 2020-01-02, 0o7]\n")
    assert read_yaml(path)["a"] == [
        *(0, 7, -12, 1.5, 0.5, 2.0, -1e-4, "1e-4", "08", "2020-01-02", "0o7"),
    ]  # fmt: skip


def test_a_number_on_the_command_line_is_told_with_its_flag() -> None:
    config = {"experiments": ["x"], "limit": {"targets": "010"}}
    origins = dict.fromkeys(config, Path("--config"))
    with pytest.raises(ConfigError, match=r"^--config limit.targets, line 1: 010 is no plain"):
        load_project(config, REPO, origins)
    with pytest.raises(ConfigError, match=r"in brackets: --config 'experiments=\[\.\.\.\]'"):
        load_project({"experiments": 10}, REPO, {"experiments": Path("--config")})


# --- Projects ------------------------------------------------------------------------------------


def project(folder: Path, **changes: object):
    config = {"experiments": ["experiment.yaml"], **changes}
    return load_project(config, REPO, dict.fromkeys(config, folder / "config.yaml"))


def test_paths_are_relative_to_the_file_that_names_them(folder: Path) -> None:
    (folder / "data").mkdir()
    found = project(folder, data={"toy": "data"})
    assert found.roots == {"toy": folder / "data"}
    assert [*found.rules, *found.backbones] == ["toy", "backbone"]
    assert found.backbones["backbone"].weights == str(folder / "weights")


def test_a_catalog_may_share_another_s_data_folder(folder: Path, tmp_path: Path) -> None:
    """Where the config says nothing it is data/NAME, if there is one."""
    shared = load("catalog", REPO / "catalogs/paper-table7.yaml")
    assert shared.folder == "medmat"
    for given, expected in (
        ({}, tmp_path / "data/medmat"),
        ({"medmat": "there"}, folder / "there"),
        ({"medmat": "there", "paper-table7": "here"}, folder / "here"),
    ):
        config = Config(experiments=("x",), data=given)
        assert data_folder(config, folder / "config.yaml", tmp_path, shared) == expected


def test_general_sets_have_no_elements_and_ids_of_their_own() -> None:
    subset = {"id": "a", "modality": "CT"}
    raw = {"name": "c", "reader": "medmat", "elements": ["modality"], "subsets": [subset]}
    catalog = validate(Catalog, {**raw, "general": [{"id": "wiki"}]}, "c.yaml")
    assert catalog.member("wiki").elements == {}
    assert catalog.preparation("wiki").general
    assert not catalog.preparation("a").general
    with pytest.raises(ConfigError, match="no subset 'wiki'"):
        catalog.subset("wiki")
    with pytest.raises(ConfigError, match=r"general\[0\].id: 'A' stands twice"):
        validate(Catalog, {**raw, "general": [{"id": "A"}]}, "c.yaml")


GRID = {
    "values": {"modality": ["CT", "X-ray"], "task": ["Side"]},
    "blocks": {
        "plain": {"reported": [["X-ray", "Side"]], "tuning": [["CT"]]},
        "other": {"options": {"mirror": ["CT"]}},
    },
}


def gridded(**changes: object) -> Catalog:
    known = {"name": "c", "reader": "phantom", "elements": ["modality", "task"]}
    return validate(Catalog, {**known, "grid": {**GRID, **changes}}, "c.yaml")


def test_a_grid_stands_for_its_subsets_once_a_block() -> None:
    found = {s.id: s for s in gridded().subsets}
    assert [*found] == ["plain-ct-side", "plain-xray-side", "other-ct-side", "other-xray-side"]
    assert [s.held_out for s in found.values()] == ["tuning", "reported", None, None]
    assert {s.block: s.options for s in found.values()} == {
        "plain": {},
        "other": {"mirror": ["CT"]},
    }
    assert found["other-xray-side"].elements == {"modality": ("X-ray",), "task": ("Side",)}
    assert found["plain-ct-side"].values("held_out") == {"tuning"}


def test_neither_block_nor_list_is_part_of_what_a_subset_is() -> None:
    whole, moved = gridded(), gridded(blocks={"plain": {"reported": [["CT"]]}})
    asked = [each.preparation("plain-ct-side").canonical() for each in (whole, moved)]
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": {"modalty": ["CT", "X-ray"], "task": ["Side"]}}, r"modalty.*'modality'"),
        ({"blocks": {"a": {"option": {}}}}, r"grid.blocks.a.option: .*'options'"),
        ({"blocks": {"a": {"tuning": [["CT", "Sde"]]}}}, r"grid: blocks.a: .*'Sde'.*'Side'"),
    ],
)
def test_mistakes_in_a_grid(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        gridded(**changes)


def test_what_is_only_told_of_a_catalog_changes_no_sample() -> None:
    catalog = load("catalog", REPO / "catalogs/medmat.yaml")
    bare = catalog.model_copy(update={"overlaps": (), "release": None, "description": ""})
    assert catalog.preparation("03") == bare.preparation("03")


def test_source_datasets_have_names_and_links(tmp_path: Path) -> None:
    catalog = load("catalog", REPO / "catalogs/medmat.yaml")
    found = read_sources(catalog)
    assert len(found) == 109
    named = {name for subset in catalog.subsets for name in subset.datasets}
    assert named <= found.keys()
    assert {name for overlap in catalog.overlaps for name in overlap.datasets} <= found.keys()
    with pytest.raises(ConfigError, match=r"sources: .*no CSV file with the columns"):
        read_sources(catalog.model_copy(update={"sources": "/nowhere.csv"}))
    (tmp_path / "sources.csv").write_text("dataset,name\n1,Cats\n")
    with pytest.raises(ConfigError, match=r"sources: .*dataset, name and url \(without url\)"):
        read_sources(catalog.model_copy(update={"sources": str(tmp_path / "sources.csv")}))


def test_weights_are_known_by_content_not_by_place(folder: Path) -> None:
    before = settings(load("backbone", folder / "backbone.yaml"))
    (folder / "weights").rename(folder / "moved")
    (folder / "backbone.yaml").write_text(BACKBONE.replace("weights: weights", "weights: moved"))
    assert settings(load("backbone", folder / "backbone.yaml")) == before
    (folder / "moved/config.json").write_text('{"a": 1}')
    assert settings(load("backbone", folder / "backbone.yaml")) != before


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"experimnts": ["x"]}, "experimnts: unknown key. Did you mean 'experiments'"),
        ({"experiments": ["phantm"]}, r"experiments\[0\]: no experiment .*Did you mean 'phantom'"),
        ({"experiments": ["x.yaml"]}, r"experiments\[0\]: no file x.yaml"),
        ({"data": {"phantm": None}}, "data.phantm: no such catalog. Did you mean 'phantom'"),
        ({"data": {"toy": "nowhere"}}, "data.toy: no folder nowhere"),
        ({"engine": {"enforce_eager": "no"}}, "engine.enforce_eager: 'no' must be"),
        ({"experiments": ["experiment.yaml"] * 2}, "'toy' is listed twice"),
        ({"limit": {"question": 3}}, "limit.question: unknown key. Did you mean 'questions'"),
        ({"limit": {"targets": 0}}, "limit.targets: 0 must be greater than 0"),
        ({"limit": {}}, "limit: give `targets`, `questions` or both"),
    ],
)
def test_mistakes_in_the_config(folder: Path, config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        project(folder, **config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rule.yaml", "fixed-taks", r"rules\[0\]: no rule 'fixed-taks' .*'fixed-task'"),
        ("catalog.yaml", "phantm", "catalog: no catalog 'phantm' .*'phantom'"),
        ("backbone.yaml", "tiny-lava", r"backbones\[0\]: no backbone .*'tiny-llava'"),
        ("cg: {}", "cg: {}, control: {rule: unrelate}", "arms.control.rule: .*'unrelated'"),
        ("[rule.yaml]", "[rule.yaml, ./rule.yaml]", r"rules\[1\]: 'toy' stands twice"),
    ],
)
def test_mistakes_in_names(folder: Path, old: str, new: str, message: str) -> None:
    (folder / "experiment.yaml").write_text(EXPERIMENT.replace(old, new))
    with pytest.raises(ConfigError, match=f"^experiment.yaml: {message}"):
        project(folder)


def test_a_smoke_run_has_a_name_of_its_own_and_asks_less(folder: Path) -> None:
    full = project(folder)
    smoke = project(folder, limit={"targets": 2, "questions": 3})
    (experiment,) = smoke.experiments
    assert experiment.name == "toy.smoke"
    assert experiment.question == "(smoke run, at most 2 targets and 3 questions each)"
    letters, fewer = full.protocols["letters"], smoke.protocols["letters"]
    assert fewer.identity() != letters.identity()
    assert "questions" not in letters.identity()
    assert fewer.model_copy(update={"questions": None}) == letters


def test_a_copied_backbone_must_get_a_name_of_its_own(folder: Path) -> None:
    (folder / "mine.yaml").write_text(BACKBONE)
    (folder / "experiment.yaml").write_text(EXPERIMENT.replace("backbone.yaml", "mine.yaml"))
    with pytest.raises(ConfigError, match=r"^mine.yaml: name: 'backbone' is not .*`name: mine`"):
        project(folder)


@pytest.mark.parametrize(
    ("arms", "compared", "close"),
    [
        ("control: {rule: r}", "taken from the arm 'control'", []),
        ("baseline: {}, contorl: {rule: r}", "taken from the arm 'baseline'", ["control"]),
        ("Control: {rule: r}, celing: {rule: r}", "no arm 'control' or 'base", ["control", "ceil"]),
        ("control: {rule: r}, control-2: {rule: r}, multi-task: {rule: r}", "'control'", []),
    ],
)
def test_an_arm_that_looks_misspelt_is_told_of_with_what_is_compared(
    folder: Path, arms: str, compared: str, close: list[str]
) -> None:
    (folder / "experiment.yaml").write_text(EXPERIMENT.replace("cg: {}", f"cg: {{}}, {arms}"))
    experiment = load("experiment", folder / "experiment.yaml")
    assert compared in experiment.compared
    told = list(experiment.warnings())
    assert len(told) == len(close)
    for line, name in zip(told, close, strict=True):
        assert line.startswith("experiment.yaml: arms.")
        assert f"did you mean '{name}" in line
        assert line.endswith(experiment.compared)


def test_the_last_file_that_gives_a_key_is_its_origin(tmp_path: Path) -> None:
    base, over = tmp_path / "config.yaml", tmp_path / "over.yaml"
    base.write_text("experiments: [a]\ndata: {}\n")
    over.write_text("experiments: [b]\n")
    origins = find_origins([over, base], [over], ["engine"])
    assert origins["experiments"] == over
    assert origins["data"] == base
    assert origins["engine"].parent == Path.cwd()


def test_blocks_of_the_command_line_hold_numbers_of_which_snakemake_made_text(folder: Path) -> None:
    given = {
        "experiments": ["experiment.yaml"],
        "budget": {"cpu_hours": "1", "disk_gb": "1e3", "gpu_hours": "null"},
        "engine": {"enforce_eager": "false", "runs": "8"},
        "limit": {"targets": "1"},
    }
    said = dict.fromkeys(given, folder / "--config")
    config = load_project(given, REPO, said).config
    assert (config.budget.cpu_hours, config.budget.disk_gb, config.budget.gpu_hours) == (
        1,
        1e3,
        None,
    )
    assert (config.engine.enforce_eager, config.engine.runs) == (False, 8)
    assert config.limit == Limit(targets=1)
    with pytest.raises(ConfigError, match="write a plain number without quotes"):
        load_project(given, REPO, dict.fromkeys(given, folder / "config.yaml"))
    files = said | {"experiments": folder / "config.yaml"}
    with pytest.raises(ConfigError, match=r"--config: budget\.cpu_hours: 'much'"):
        load_project({**given, "budget": {"cpu_hours": "much"}}, REPO, files)


# --- Schemas -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "text"), list(schemas()))
def test_the_schemas_are_those_of_the_models(name: str, text: str) -> None:
    path = REPO / "config/schemas" / name
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    difference = "".join(difflib.unified_diff(old.splitlines(True), text.splitlines(True)))
    assert not difference, (
        f"config/schemas/{name} differs from the models; regenerate it:"
        f" PYTHONPATH=workflow python -m matcg.config.schemas\n{difference}"
    )


def test_the_default_config_is_valid() -> None:
    assert validate(Config, read_yaml(REPO / "config.yaml"), "config.yaml").experiments


def test_a_recipe_may_need_more_than_its_backbone_and_is_the_same_recipe() -> None:
    recipe = {"learning_rate": 1.0e-3, "epochs": 1, "batch_size": 8}
    plain = {
        "name": "toy",
        "weights": "org/model",
        "revision": "0" * 40,
        "image": {"size": 8},
        "prompt": "{question}",
        "recipes": {"full": recipe, "quick": recipe},
        "resources": {"mem_mb": 100, "runtime": 5},
    }
    resources = {"mem_mb": 100, "runtime": 5, "recipes": {"full": {"mem_mb": 900}}}
    large = Backbone.model_validate({**plain, "resources": resources})
    assert settings(large) == settings(Backbone.model_validate(plain))
    asked = [large.resources.amount("mem_mb", name) for name in ("full", "quick", None)]
    assert asked == [900, 100, 100]
    assert large.resources.amount("runtime", "full") == 5
    wrong = {**plain, "resources": {"recipes": {"ful": {"mem_mb": 900}}}}
    with pytest.raises(ValueError, match=r"no recipe 'ful'\. Did you mean 'full'"):
        Backbone.model_validate(wrong)


def test_how_masks_are_written_is_identity_where_it_is_not_as_ever(folder: Path) -> None:
    plain = load("backbone", folder / "backbone.yaml")
    # A key that all had would rename all that is trained and answered.
    assert "masks" not in settings(plain)
    assert '"masks":"box"' in settings(plain.model_copy(update={"masks": "box"}))


OTHERS = ["1: a\n", "a: 010\n", "a: 1\na: 2\n", '{\n\t"a": 1\n}', "a: !x b\n"]


@pytest.mark.parametrize("text", OTHERS)
def test_a_config_file_of_another_workflow_that_snakemake_reads_passes(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert require_readable(path) == path


@pytest.mark.parametrize("text", ["", "# only this\n", "- a\n", "a:\n\tb: c\n", "{a: "])
def test_a_config_file_that_snakemake_cannot_read_ends_in_one_line(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(SystemExit, match=r"^matcg: --configfile .*config\.yaml[^\n]*$"):
        require_readable(path, "--configfile ")
