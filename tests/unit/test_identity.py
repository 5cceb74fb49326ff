"""What decides a result is in its name, whatever it is; what does not is not."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from matcg import identity, versions
from matcg.config.backbone import Backbone, Recipe
from matcg.config.catalog import Preparation
from matcg.config.library import load
from matcg.config.protocol import Protocol
from matcg.errors import DataError
from matcg.models import identity as of_weights
from matcg.models.identity import of_asking, of_backbone
from matcg.plan.mixes import planned_mix
from matcg.plan.records import Mix
from planned import world

TRAINED = {"learning_rate": 1e-3, "epochs": 2, "batch_size": 8}
RECIPE = {**TRAINED, "method": "lora", "rank": 2, "alpha": 4.0}
BACKBONE = {
    "name": "tiny",
    "weights": "org/model",
    "revision": "1",
    "image": {"size": 8},
    "prompt": "{question}",
    "recipes": {"full": TRAINED},
}
PREPARATION = {
    "catalog": "world",
    "reader": "phantom",
    "options": {"seed": 0},
    "split": {"train": 50, "test": 10},
    "near_duplicates": 24,
    "subset": {"id": "ct-brain-state"},
}
PROTOCOL = {"name": "p", "shots": 2}

# Another value of each setting that decides a result, and of each that does not.
DECIDE: dict[type[BaseModel], dict[str, Any]] = {
    Recipe: {
        "method": "full",
        "learning_rate": 2e-3,
        "epochs": 3,
        "batch_size": 4,
        "warmup": 0.1,
        "schedule": "linear",
        "weight_decay": 0.1,
        "loss": "tokens",
        "trains": ["llm"],
        "rank": 4,
        "alpha": 8.0,
    },
    Preparation: {
        "catalog": "other",
        "reader": "medmat",
        "options": {"seed": 1},
        "split": {"train": 50, "test": 10, "reserve": 0.2},
        "near_duplicates": 23,
        "subset": {"id": "ct-brain-state", "options": {"seed": 1}},
        "general": True,
    },
    Protocol: {
        "name": "q",
        "scoring": "generate",
        "permutations": 2,
        "image": "blank",
        "shots": 3,
        "per": "prompt",
        "draws": 2,
        "seed": 7,
        "max_tokens": 9,
        "max_boxes": 3,
        "questions": 4,
    },
}
ALIKE: dict[type[BaseModel], dict[str, Any]] = {
    Recipe: {},
    Preparation: {},
    Protocol: {"description": "in other words"},
}
COMMANDS = {
    "train": ["train", "{data}", "{out}"],
    "answer": ["answer", "{weights}", "{questions}", "{out}"],
    "version": "1",
}
# A backbone has two digests: of what decides its training, and of what decides its answers.
TRAINS = {
    "name": "other",
    "weights": "org/other",
    "revision": "2",
    "original": {"weights": "org/model", "revision": "1"},
    "trust_remote_code": True,
    "dtype": "bfloat16",
    "image": {"size": 8, "geometry": "pad", "fill": [122, 116, 104]},
    "prompt": "Well: {question}",
    "masks": "box",
    "coordinates": "pixels",
    "commands": COMMANDS,
}
ASKS = {"turn_end": "", "several_images": True, "engine": "transformers"}
NEITHER = {
    "description": "in other words",
    "architecture": "llava",
    "shape": {"text_config": {"hidden_size": 8}},
    "recipes": {"full": TRAINED, "slow": TRAINED},
    "resources": {"gpu": 2, "micro_batch": 1, "gradient_checkpointing": True},
}
BASES = {Recipe: RECIPE, Preparation: PREPARATION, Protocol: PROTOCOL, Backbone: BACKBONE}


def digest_of(made: Any) -> str:
    """Return the digest of a recipe, a preparation, or questions that a protocol asks."""
    if isinstance(made, Protocol):
        return identity.of_questions("0123abcd", made)
    return identity.of_recipe(made) if isinstance(made, Recipe) else identity.of_subset(made)


def changed(kind: type[BaseModel], name: str, value: object) -> Any:
    """Return the record with another value of a setting, which need not suit the others."""
    if kind is Recipe and name in ("method", "rank", "alpha"):
        return Recipe(**RECIPE).model_copy(update={name: value})
    together = {
        "original": {"weights": "", "revision": None},
        "commands": {"engine": "command"},
    }
    rest = together.get(name, {})
    return kind(**{**BASES[kind], **rest, name: value})


@pytest.mark.parametrize("kind", DECIDE)
def test_each_setting_that_decides_a_result_changes_its_digest(kind: type[BaseModel]) -> None:
    first = digest_of(kind(**BASES[kind]))
    others = {digest_of(changed(kind, *setting)) for setting in DECIDE[kind].items()}
    assert len(others - {first}) == len(DECIDE[kind])
    assert all(digest_of(changed(kind, *setting)) == first for setting in ALIKE[kind].items())


def test_no_setting_is_forgotten_here() -> None:
    for kind in DECIDE:
        assert {*DECIDE[kind], *ALIKE[kind]} == set(kind.model_fields)
    assert {*TRAINS, *ASKS, *NEITHER} == set(Backbone.model_fields)


def test_a_backbone_is_what_trains_it_and_is_asked_as_what_asks_it_too() -> None:
    first = Backbone(**BACKBONE)
    trained, asked = of_backbone(first), of_asking(first)
    made = {name: changed(Backbone, name, value) for name, value in (TRAINS | ASKS).items()}
    of_training = [of_backbone(made[name]) for name in TRAINS]
    assert len({trained, *of_training}) == 1 + len(TRAINS)
    assert {of_backbone(made[name]) for name in ASKS} == {trained}
    assert len({asked, *map(of_asking, made.values())}) == 1 + len(made)
    for setting in NEITHER.items():
        same = changed(Backbone, *setting)
        assert (of_backbone(same), of_asking(same)) == (trained, asked)


def test_the_colour_of_bars_is_part_of_what_is_trained_where_it_is_said() -> None:
    padded = changed(Backbone, "image", {"size": 8, "geometry": "pad"})
    filled = changed(Backbone, "image", {"size": 8, "geometry": "pad", "fill": [1, 2, 3]})
    assert of_backbone(padded) != of_backbone(filled)
    assert '"image":{"geometry":"pad","size":8}' in of_weights.settings(padded)


def test_of_commands_the_words_that_answer_train_nothing() -> None:
    def digests(**changes: object) -> tuple[str, str]:
        own = changed(Backbone, "commands", {**COMMANDS, **changes})
        return of_backbone(own), of_asking(own)

    trained, asked = digests()
    other = digests(answer=["reply", *COMMANDS["answer"]])
    assert other[0] == trained
    assert other[1] != asked
    assert digests(train=["fit", *COMMANDS["train"]])[0] != trained
    assert digests(version="2")[0] != trained


TEXT = """\
name: tiny
weights: weights
image: {size: 8}
prompt: "{question}"
recipes: {full: {learning_rate: 0.001, epochs: 1, batch_size: 8}}
"""


def test_a_backbone_is_the_same_wherever_its_file_and_weights_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_weights, "SMALL_WEIGHTS", 1_000_000)

    def found(folder: str, name: str, weights: bytes) -> str:
        (tmp_path / folder / "weights").mkdir(parents=True)
        (tmp_path / folder / "weights/model.safetensors").write_bytes(weights)
        (tmp_path / folder / name).write_text(TEXT)
        return of_backbone(load("backbone", tmp_path / folder / name))

    first = found("a", "tiny.yaml", b"first")
    assert found("b", "again.yaml", b"first") == first
    assert found("c", "tiny.yaml", b"other") != first
    # Files too large to be read whole.
    large = found("d", "tiny.yaml", bytes(2_000_000))
    assert found("e", "tiny.yaml", bytes(2_000_000)) == large
    assert found("f", "tiny.yaml", b"\1" * 2_000_000) != large


def test_of_a_catalog_only_what_prepares_a_subset_decides_its_samples() -> None:
    def found(**changes: object) -> str:
        catalog = world().model_copy(update=changes)
        return identity.of_subset(catalog.preparation("ct-brain-state"))

    first, subsets = found(), world().subsets
    declared = tuple(each.model_copy(update={"train": 9, "test": 3}) for each in subsets)
    for alike in (
        {"description": "in other words"},
        {"subsets": declared},
        {"subsets": subsets[::-1]},
        {"subsets": subsets[:3]},
        {"folder": "elsewhere"},
    ):
        assert found(**alike) == first, alike
    assert found(near_duplicates=3) != first
    assert found(options={"seed": 3}) != first


def test_questions_are_those_of_their_samples() -> None:
    protocol = Protocol(name="letters")
    assert identity.of_questions("0123abcd", protocol) != identity.of_questions("0", protocol)


MIX = planned_mix("world", {"a": 3, "b": 4}, 0)
PARTS, TARGETS = {"a": "00000001", "b": "00000002"}, {"t": "00000003"}


@pytest.mark.parametrize(
    "change",
    [
        {"catalog": "other"},
        {"parts": (("a", 3), ("b", 5))},
        {"seed": 1},
        {"labels": "shuffled"},
        {"repeat": True},
        {"leaky": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_mix_is_what_it_holds_and_how(change: dict[str, Any]) -> None:
    assert MIX.digest_of(PARTS, TARGETS) != (replace(MIX, **change).digest_of(PARTS, TARGETS))


def test_a_mix_is_of_its_subsets_and_of_the_targets_it_must_not_show() -> None:
    def found(mix: Mix = MIX, t: str = "00000003", **parts: str) -> str:
        return mix.digest_of({**PARTS, **parts}, {"t": t})

    assert len({found(), found(a="00000009"), found(t="00000009")}) == 3
    assert found() != MIX.digest_of(PARTS, {**TARGETS, "u": "00000004"})
    leaky = replace(MIX, leaky=True)
    assert found(leaky) == found(leaky, t="00000009") == leaky.digest_of(PARTS, {})
    named = replace(MIX, id="other", digest="00000009", targets=("t",))
    assert found(named) == found(), "only what it is made of counts"


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a copy of the scripts, by which digests are made."""
    for path in identity.SCRIPTS.glob("*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(identity, "SCRIPTS", tmp_path)
    identity.script.cache_clear()
    yield tmp_path
    identity.script.cache_clear()


DIGESTS: dict[str, Callable[[], str]] = {
    "PREPARE": lambda: identity.of_subset(Preparation(**PREPARATION)),
    "MIX": lambda: MIX.digest_of(PARTS, TARGETS),
    "FINETUNE": lambda: identity.of_recipe(Recipe(**RECIPE)),
    "PREDICT": lambda: of_asking(Backbone(**BACKBONE)),
    "": lambda: of_backbone(Backbone(**BACKBONE)),
}


@pytest.mark.parametrize("step", [step for step in DIGESTS if step])
def test_a_new_version_of_a_step_changes_its_digest_alone(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: found() for name, found in DIGESTS.items()}
    monkeypatch.setattr(versions, step, getattr(versions, step) + 1)
    assert {name for name, found in DIGESTS.items() if found() != before[name]} == {step}


@pytest.mark.parametrize(("script", "step"), [("finetune", "FINETUNE"), ("predict", "PREDICT")])
def test_an_edited_script_of_what_costs_most_changes_its_digest_alone(
    scripts: Path, script: str, step: str
) -> None:
    before = {name: found() for name, found in DIGESTS.items()}
    with (scripts / f"{script}.py").open("a") as stream:
        stream.write("# edited\n")
    identity.script.cache_clear()
    assert {name for name, found in DIGESTS.items() if found() != before[name]} == {step}


def test_a_digest_is_the_same_today_and_tomorrow() -> None:
    assert identity.digest({"b": [1, "x"], "a": None}, 2) == "f276b8b4"
    assert identity.digest({"a": None, "b": [1, "x"]}, 2) == "f276b8b4"


# --- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["toy", "a.3+b.4-s0-0123abcd", "qwen2.5-vl-7b", "0123abcd"])
def test_a_name_with_its_digest_can_be_taken_apart(name: str) -> None:
    named = identity.named(name, "fedcba98")
    assert (identity.plain(named), identity.digest_in(named)) == (name, "fedcba98")


@pytest.mark.parametrize(
    "name", ["toy", "toy-0123ABCD", "toy-0123abcde", "toy-0123abc", "baseline"]
)
def test_a_name_without_digest_promises_nothing(name: str) -> None:
    assert (identity.plain(name), identity.digest_in(name)) == (name, "")
    identity.require(Path("x"), name, "fedcba98", "it is")


def test_what_is_not_what_its_name_stands_for_is_refused() -> None:
    identity.require(Path("x"), "toy-0123abcd", "0123abcd", "it is")
    for told, said in (("fedcba98", "it is fedcba98"), ("", "it is of no digest")):
        with pytest.raises(DataError, match=rf"^x: {said}, and the plan means 0123abcd; .* remove"):
            identity.require(Path("x"), "toy-0123abcd", told, "it is")


def test_a_folder_with_a_digest_says_in_a_line_what_it_is_and_keeps_what_it_says(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "new-0123abcd"
    for line in ("Größe: 1", "Something else"):
        identity.describe_folder(folder, line)
        identity.describe_folder(tmp_path / "plain", line)
    assert (folder / identity.ABOUT).read_text(encoding="utf-8") == "Größe: 1\n"
    assert not (tmp_path / "plain").exists()
