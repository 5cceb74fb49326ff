"""The count of a step's arithmetic, against PyTorch's own of what every tiny sibling did.

The tiny backbone's, and the peaks of GPUs: `test_flops.py`.
"""

import pytest
from torch import nn
from transformers import MistralConfig

from matcg.config.backbone import Backbone, Recipe
from matcg.models.flops import Work
from matcg.models.loading import choose_parameters
from matcg.train.batches import Collator
from matcg.train.tasks import TrainingSample
from sibling_fixtures import questions, siblings, start
from step_flops import counted, ours

__all__ = ["siblings"]

TASKS = [TrainingSample(sample, sample.answer) for sample in questions(2)]
ALL = ("llm", "projector", "tower")
# The last leaves no gradient where tower and text begin, and all of it where they end.
TRAINED = {
    "full": {"trains": ALL},
    "frozen tower": {"trains": ("llm", "projector")},
    "projector": {"trains": ("projector",)},
    "lora of llm": {"method": "lora", "rank": 4, "trains": ("llm",)},
    "lora": {"method": "lora", "rank": 4, "trains": ALL},
}
LLAVA = ("llava-1.5-7b", "huatuogpt-vision-7b")
QWEN = ("qwen2-vl-7b", "qwen2.5-vl-7b", "qwen3-vl-8b")
MLLAMA = "llama-3.2-11b-vision"


def trained(backbone: Backbone, case: str) -> tuple[nn.Module, Collator]:
    model, reader = start(backbone)
    recipe = Recipe(learning_rate=1, epochs=1, batch_size=2, **TRAINED[case])
    return choose_parameters(model, recipe).train(), reader


@pytest.mark.parametrize("case", TRAINED)
@pytest.mark.parametrize("name", QWEN)
def test_qwen_is_counted_to_the_last_product(siblings, name: str, case: str) -> None:
    model, reader = trained(siblings(name), case)
    assert ours(model, reader, TASKS) == counted(model, reader, TASKS)


@pytest.mark.parametrize("case", TRAINED)
@pytest.mark.parametrize("name", LLAVA)
def test_a_layer_of_llavas_tower_that_is_not_read_does_not_count(
    siblings, name: str, case: str
) -> None:
    model, reader = trained(siblings(name), case)
    mine = ours(model, reader, TASKS)
    assert mine < counted(model, reader, TASKS)
    del model.get_submodule(tower_of(model))[-1]
    config = (model.get_base_model() if case.startswith("lora") else model).config
    config.vision_feature_layer = -1
    config.vision_config.num_hidden_layers -= 1
    assert mine == ours(model, reader, TASKS) == counted(model, reader, TASKS)


def tower_of(model: nn.Module) -> str:
    """Return where the layers of LLaVA's tower are."""
    ends = "vision_tower.encoder.layers"
    return next(name for name, _ in model.named_modules() if name.endswith(ends))


@pytest.mark.parametrize("case", TRAINED)
def test_mllama_is_counted_but_for_its_mask_and_one_gradient(siblings, case: str) -> None:
    backbone = siblings(MLLAMA)
    image = backbone.image.model_copy(update={"size": 112})  # four tiles: none is empty
    model, reader = trained(backbone.model_copy(update={"image": image}), case)
    states = 4 * 24  # 16 patches and the class, padded to a multiple of 8
    mask = len(TASKS) * 2 * states**2
    difference = ours(model, reader, TASKS) - (counted(model, reader, TASKS) - mask)
    # Where text is frozen up to the first layer that sees, its queries need no gradient there.
    tokens = sum(len(reader.inputs([t.sample])["input_ids"][0]) for t in TASKS)
    assert difference == (2 * 64 * tokens * 4 * 17 if case == "projector" else 0)


def test_tiles_that_are_empty_are_seen_by_the_tower_and_not_read(siblings) -> None:
    backbone = siblings(MLLAMA)
    model, reader = trained(backbone, "full")
    one, four = (Work.of(model, edge) for edge in (56, 112))
    assert one is not None
    assert four is not None
    assert four.cross == 4 * one.cross
    assert one.token == four.token
    # The projector makes 64 of 128 numbers a state; keys and values are 32 each of these 64.
    assert four.picture - one.picture == 3 * 17 * 6 * (128 * 64 + 2 * 64 * 32)
    assert ours(model, reader, TASKS) < counted(model, reader, TASKS)


def test_an_unknown_model_is_not_guessed(siblings) -> None:
    model, _ = start(siblings("llava-1.5-7b"))
    model.config.text_config = MistralConfig()
    assert Work.of(model, 56) is None
    model.config.model_type = "blip-2"
    assert Work.of(model, 56) is None
