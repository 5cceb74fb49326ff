"""What a model is said to take of memory: against models on the meta device and the profiler."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tensor_peaks
from matcg.config.backbone import Backbone, Recipe
from matcg.config.library import load
from matcg.models import fits
from matcg.models.loading import choose_parameters
from matcg.models.shape import Shape
from matcg.models.weights import part_of
from matcg.train.finetune import spread
from matcg.train.parallel import World

ROOT = Path(__file__).parents[3]
SHAPED = (
    "huatuogpt-vision-7b",
    "llama-3.2-11b-vision",
    "llava-1.5-7b",
    "qwen2-vl-7b",
    "qwen2.5-vl-7b",
    "qwen3-vl-8b",
)
# By transformers' classes at these sizes, on the meta device.
COUNTED = {"llama-3.2-11b-vision": 10_670_220_835, "qwen3-vl-8b": 8_767_123_696}
PARTS = ("llm", "projector", "tower")
FEW = {
    "num_hidden_layers": 2,
    "depth": 2,
    "num_global_layers": 1,
    "cross_attention_layers": [1],
    "deepstack_visual_indexes": [0, 1],
    "intermediate_layers_indices": [0, 1, 1, 1, 1],
}
SMALL = {
    "text_config": {
        "model_type": "llama",
        "hidden_size": 256,
        "intermediate_size": 704,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "vocab_size": 2000,
    },
    "vision_config": {
        "model_type": "clip_vision_model",
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "image_size": 112,
        "patch_size": 14,
    },
}
LLAMA = {
    "text_config": {
        "hidden_size": 256,
        "intermediate_size": 704,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 2000,
        "cross_attention_layers": [1, 3],
    },
    "vision_config": {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_global_layers": 2,
        "attention_heads": 2,
        "image_size": 112,
        "patch_size": 14,
        "max_num_tiles": 4,
        "vision_output_dim": 384,
        "intermediate_layers_indices": [0, 2],
        "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1], [2, 2]],
    },
}
SMALLER = {"llava-1.5-7b": SMALL, "llama-3.2-11b-vision": LLAMA}


def shipped(name: str) -> Backbone:
    """Return a shipped backbone."""
    return load("backbone", ROOT / f"backbones/{name}.yaml")


def sized(backbone: Backbone, text: int = fits.TEXT) -> Shape:
    """Return a backbone's sizes, which are known."""
    found = fits.shape_of(backbone, text)
    assert found is not None
    return found


def recipe(method: str, **more: Any) -> Recipe:
    """Return a recipe."""
    known = {"learning_rate": 1e-6, "epochs": 1, "batch_size": 8, "method": method}
    return Recipe.model_validate(known | more)


def with_few_layers(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with one or two layers of each kind."""
    return {
        part: {key: FEW.get(key, value) for key, value in sizes.items()}
        for part, sizes in config.items()
    }


@pytest.mark.parametrize("name", SHAPED)
def test_each_parameter_is_counted_and_each_adapter(name: str) -> None:
    whole = shipped(name)
    backbone = whole.model_copy(update={"shape": with_few_layers(whole.shape or {})})
    shape = sized(backbone)
    with torch.device("meta"):
        model = tensor_peaks.make(backbone)
    found = dict.fromkeys(PARTS, 0)
    for parameter, tensor in model.named_parameters():
        found[part_of(parameter)] += tensor.numel()
    assert shape.parameters == found
    lora = recipe("lora", rank=8)
    with torch.device("meta"):
        adapted = choose_parameters(model, lora)
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert fits.adapters(shape, lora) == trained


@pytest.mark.parametrize(("name", "count"), COUNTED.items())
def test_the_layers_of_published_sizes_are_all_counted(name: str, count: int) -> None:
    shape = sized(shipped(name))
    assert sum(shape.parameters.values()) == count


@pytest.mark.parametrize("name", SHAPED)
def test_layers_are_gone_through_again_that_transformers_checkpoints(name: str) -> None:
    from transformers.modeling_layers import GradientCheckpointingLayer

    whole = shipped(name)
    backbone = whole.model_copy(update={"shape": with_few_layers(whole.shape or {})})
    with torch.device("meta"):
        model = tensor_peaks.make(backbone)
    found = {
        (part_of(f"{path}.0.weight"), isinstance(each, GradientCheckpointingLayer))
        for path, layers in model.named_modules()
        if isinstance(layers, nn.ModuleList)
        for each in layers
    }
    said = {(each.part, each.checkpointed) for each in sized(backbone).layers}
    assert {each for each in found if each[0] != "projector"} == said


def test_where_llama_s_tower_ends_all_states_lie_beside_the_stacked_ones() -> None:
    """Embedded patches, states of each layer, the mask of tiles; some states stacked, and all."""
    whole = shipped("llama-3.2-11b-vision")
    backbone = whole.model_copy(update={"shape": with_few_layers(whole.shape or {})})
    shape, vision = sized(backbone), (backbone.shape or {})["vision_config"]
    seen: list[torch.Tensor] = []

    def see(_: nn.Module, __: Any, kwargs: Any, found: torch.Tensor) -> None:
        seen.append(found)
        masks.update([kwargs["attention_mask"]] if "attention_mask" in kwargs else [])

    masks: set[torch.Tensor] = set()
    with torch.device("meta"):
        tower = tensor_peaks.make(backbone).model.vision_model
        inputs = tensor_peaks.inputs_of(backbone, 1, 1)
    layers = [*tower.transformer.layers, *tower.global_transformer.layers]
    for each in (tower.patch_embedding, *layers):
        each.register_forward_hook(see, with_kwargs=True)
    given = ("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask")
    last = tower(**{name: inputs[name].to("meta") for name in given}).last_hidden_state
    stacked = len(vision["intermediate_layers_indices"]) * seen[-1].numel()
    pixels = 2 * inputs["pixel_values"].numel()  # in float32
    (mask,) = masks
    assert shape.masks == mask.numel()
    assert shape.passing == sum(
        [each.numel() for each in (*seen, mask, last)], start=stacked + pixels
    )


def test_a_layer_that_reads_a_picture_keeps_repeated_keys_and_values() -> None:
    backbone = small(again=True, name="llama-3.2-11b-vision")
    (n,) = [each for each in sized(backbone, 100).layers if each.side]
    layer = tensor_peaks.make(backbone).model.language_model.layers[1]
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    states = torch.randn(1, n.side, n.width).bfloat16().requires_grad_()
    mask = torch.zeros(1, 1, n.rows, n.side).bfloat16()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        end = layer(torch.randn(1, n.rows, n.width).bfloat16(), states, mask, None, None)
    for given in (states, *layer.parameters()):
        kept.pop(given.untyped_storage().data_ptr(), None)
    said = fits.Step(sized(backbone, 100), recipe("full"), 2, checkpointing=True).layer(n)
    assert end.requires_grad
    assert said == pytest.approx(sum(kept.values()), rel=0.05)


@pytest.mark.slow("the profiler takes seconds for each, FSDP some to import")
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("name", SMALLER)
def test_the_peak_of_a_step_is_the_profiler_s(name: str, method: str, again: bool) -> None:
    backbone = small(again, name)
    more = {"rank": 16, "trains": ("llm", "projector")} if method == "lora" else {}
    found = tensor_peaks.training(backbone, recipe(method, **more), 4, 100)
    shape = sized(backbone, 100)
    said = fits.training(shape, recipe(method, **more), backbone.dtype, 4, again)
    assert said.tensors == pytest.approx(found, rel=0.1)


@pytest.mark.slow("the profiler takes seconds")
@pytest.mark.parametrize("name", SMALLER)
def test_the_peak_of_answers_is_the_profiler_s(name: str) -> None:
    backbone = small(again=False, name=name)
    shape = sized(backbone, 100)
    found = tensor_peaks.answering(backbone, 1, 100)
    assert fits.answering(shape, backbone.dtype, 1).tensors == pytest.approx(found, rel=0.1)


def test_no_gradient_goes_down_through_a_frozen_tower() -> None:
    backbone = small(again=True)
    lora = recipe("lora", rank=4, trains=("llm", "projector"))
    model = choose_parameters(tensor_peaks.make(backbone), lora).train()
    spread(model, backbone, World(torch.device("cpu")))
    tower = model.get_base_model().model.vision_tower
    pixels = tensor_peaks.inputs_of(backbone, 1, 10)["pixel_values"].bfloat16()
    assert not tower(pixels).last_hidden_state.requires_grad


def small(again: bool, name: str = "llava-1.5-7b") -> Backbone:
    """Return a small model of a backbone's family, computed in bfloat16."""
    whole = shipped(name)
    return whole.model_copy(
        update={
            "shape": SMALLER[name],
            "image": whole.image.model_copy(update={"size": 112}),
            "resources": whole.resources.model_copy(update={"gradient_checkpointing": again}),
        }
    )


def test_devices_share_what_full_fine_tuning_keeps_and_no_adapter() -> None:
    shape = sized(shipped("llava-1.5-7b"))
    one, two = (fits.training(shape, recipe("full"), "bfloat16", 1, True, n) for n in (1, 2))
    assert two.weights + two.gradients + two.optimiser == 8 * 7_063_427_072
    assert (one.activations, one.flight) == (two.activations, two.flight)
    lora = recipe("lora", rank=128, trains=("llm", "projector"))
    alone, beside = (fits.training(shape, lora, "bfloat16", 1, True, n) for n in (1, 2))
    assert alone == beside


def test_nothing_is_said_of_a_model_whose_sizes_are_unknown() -> None:
    known = shipped("llava-1.5-7b")
    assert fits.shape_of(known.model_copy(update={"shape": None})) is None
    assert fits.shape_of(known.model_copy(update={"architecture": "another"})) is None
    assert fits.shape_of(known.model_copy(update={"shape": {"text_config": {}}})) is None


def test_vllm_needs_weights_and_the_keys_of_one_prompt() -> None:
    shape = sized(shipped("llava-1.5-7b"))
    short, long = (fits.by_vllm(shape, "bfloat16", context).tensors for context in (4096, 8192))
    assert long - short == 4096 * 2 * 32 * 4096 * 2
