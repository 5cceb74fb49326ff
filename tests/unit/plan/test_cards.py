"""Which cards hold what: counts, what would make a recipe fit, and the table of docs/gpus.md."""

from dataclasses import replace
from pathlib import Path

import pytest

from matcg.config.backbone import Amounts, Backbone
from matcg.config.library import load
from matcg.config.project import Project
from matcg.config.workflow import Config, Engine
from matcg.errors import ConfigError
from matcg.plan import cards
from matcg.plan.cards import Way
from matcg.plan.enumerate import make_plan
from matcg.plan.tables import summarise_plan
from planned import project

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "backbones").glob("*.yaml"))
LLAVA = ROOT / "backbones/llava-1.5-7b.yaml"


def llava(**resources: object) -> Backbone:
    """Return LLaVA-1.5 with other resources."""
    found = load("backbone", LLAVA)
    return found.model_copy(update={"resources": found.resources.model_copy(update=resources)})


def way(name: str, **resources: object) -> Way:
    """Return how a recipe of it is trained."""
    found = Way.of(llava(**resources), name)
    assert found is not None
    return found


def test_more_cards_share_full_fine_tuning_and_adapters_lie_on_each() -> None:
    full, lora = way("full"), way("lora")
    assert [full.fewest(cards.CARDS[size]) for size in (80, 141)] == [2, 1]
    assert full.takes(1) > full.takes(2) > full.takes(4)
    assert lora.takes(1) == lora.takes(2)
    assert lora.fewest(cards.CARDS[40]) == 1
    assert lora.fewest(10) is None


@pytest.mark.parametrize(
    ("size", "resources", "lines"),
    [
        (24, {"micro_batch": 8}, "micro_batch: "),
        (40, {"micro_batch": 8, "gradient_checkpointing": False}, "micro_batch: "),
        (24, {"micro_batch": 1, "gradient_checkpointing": False}, "gradient_checkpointing: true"),
    ],
)
def test_the_smallest_change_is_named(size: int, resources: dict, lines: str) -> None:
    backbone = llava(**resources)
    found = cards.refused(backbone, "lora", 1, cards.CARDS[size])
    assert f"it fits with `{lines}" in found
    assert "gpu:" not in found


def test_more_cards_are_named_where_less_at_a_time_is_not_enough() -> None:
    assert "it fits with `gpu: 2`" in cards.refused(llava(), "full", 1, cards.CARDS[80])
    assert cards.refused(llava(), "full", 2, cards.CARDS[80]) == ""
    assert "method lora" in cards.refused(llava(), "full", 8, 10)


def test_what_is_named_does_fit() -> None:
    given = way("lora", micro_batch=8)
    lines = cards.change(given, 1, cards.CARDS[24])
    micro = int(lines.rpartition(" ")[2])
    assert replace(given, micro=micro).takes(1) <= cards.CARDS[24] < given.takes(1)


def test_auto_is_the_fewest_cards_of_each_recipe_and_one_to_answer() -> None:
    given = llava(gpu="auto", recipes={"lora": Amounts(micro_batch=2)})
    found = cards.with_counts(of(given), cards.CARDS[80]).backbones["llava-1.5-7b"].resources
    assert (found.gpu, found.amount("gpu", "full"), found.amount("gpu", "lora")) == (1, 2, 1)
    assert found.of("lora").micro_batch == 2
    with pytest.raises(ConfigError, match="card_gb: 80"):
        cards.with_counts(of(given), None)
    unsized = given.model_copy(update={"shape": None})
    with pytest.raises(ConfigError, match="to `shape`, or give a number"):
        cards.with_counts(of(unsized), 80)


def of(backbone: Backbone, **config: object) -> Project:
    """Return a project of one backbone."""
    given = project({"backbones": [backbone.name]}, backbones={backbone.name: backbone})
    known = {"experiments": ("toy",), **config}
    return replace(given, config=Config.model_validate(known))


def test_the_plan_says_which_cards_and_what_it_will_refuse() -> None:
    def section(**config: object) -> str:
        given = of(llava(recipes={}), **config)
        text = summarise_plan(make_plan(given), given, [], {})
        return text.partition("## Cards")[2].partition("## Small")[0]

    assert "| finetune | llava-1.5-7b | full | 8 | 4 | 4 | 2 | 1 |" in section()
    assert "Not launched" not in section()
    assert "it fits with `gpu: 2`" in section(card_gb=80)
    tiny = project()
    assert "## Cards" not in summarise_plan(make_plan(tiny), tiny, [], {})


def test_vllm_has_a_share_of_a_card_and_transformers_all() -> None:
    whole = cards.asks(llava(), Engine(gpu_memory_utilization=1.0))
    part = cards.asks(llava(), Engine(gpu_memory_utilization=0.5))
    assert whole
    assert part == pytest.approx(2 * whole)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_recipes_fit_the_cards_that_they_ask_for(path: Path) -> None:
    backbone = load("backbone", path)
    assert backbone.resources.gpu == 0 or backbone.shape
    for name in backbone.recipes if backbone.shape else ():
        count = backbone.resources.amount("gpu", name)
        assert cards.refused(backbone, name, count, cards.CARDS[80]) == ""


def test_the_table_of_the_docs_is_what_the_code_says() -> None:
    rows = cards.page(load("backbone", path) for path in FILES)
    told = (ROOT / "docs/gpus.md").read_text(encoding="utf-8").splitlines()
    missing = [line for row in rows if (line := f"| {' | '.join(row)} |") not in told]
    assert not missing, "write these into docs/gpus.md:\n" + "\n".join(missing)
    shown = [line for line in told if line.startswith(tuple(f"| {p.stem} |" for p in FILES))]
    assert len(shown) == len(rows)
