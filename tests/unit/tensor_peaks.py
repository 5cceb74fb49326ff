"""The profiler's peak of tensor bytes while a model of some shape is trained or asked.

All that is held is counted from the model's making on, in the code that trains and answers.
What large floating tensors give is allotted and not computed: sizes do not depend on values, and a
core takes minutes.
"""

import gc
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

from matcg.config.backbone import Backbone, Recipe
from matcg.models.loading import choose_parameters, last_logits
from matcg.train.finetune import spread
from matcg.train.parallel import World, joined

# Not done at all: numbers drawn, places cleared, steps of the optimiser.
_LEFT = {"normal_", "uniform_", "trunc_normal_", "erfinv_", "zero_", "fill_"}
_STEPS = {"_fused_adamw_"}
_LARGE = 2**16  # numbers; what is smaller may be counted with
_VALUED = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}


class Allotted(TorchDispatchMode):
    """Allots what operations on large floating tensors give, and computes none of it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        """Return the results of an operation, or as much memory."""
        name = func.overloadpacket.__name__
        if name in _STEPS:
            return None
        if name in _LEFT and _large(args[0]):
            return args[0]
        if not (_makes(func) and any(map(_large, tree_iter((args, kwargs))))):
            return func(*args, **(kwargs or {}))
        given = (args, kwargs or {})
        meta = tree_map_only(torch.device, _nowhere, tree_map_only(torch.Tensor, _like, given))
        return tree_map_only(torch.Tensor, _room, func(*meta[0], **meta[1]))


def _makes(func: torch._ops.OpOverload) -> bool:
    """Tell whether an operation of torch's own gives new tensors, of sizes that its inputs say."""
    said = [*func._schema.arguments, *func._schema.returns]
    known = func.namespace == "aten" and not _VALUED & set(func.tags)
    return known and all(each.alias_info is None for each in said)


def _large(given: Any) -> bool:
    """Tell whether something is a floating tensor of some size, and not spread over processes."""
    plain = type(given) in (torch.Tensor, nn.Parameter)
    return plain and given.is_floating_point() and given.numel() > _LARGE


def _like(given: torch.Tensor) -> torch.Tensor:
    return torch.empty_strided(given.shape, given.stride(), dtype=given.dtype, device="meta")


def _nowhere(_: torch.device) -> torch.device:
    return torch.device("meta")


def _room(wanted: torch.Tensor) -> torch.Tensor:
    return torch.empty_strided(wanted.shape, wanted.stride(), dtype=wanted.dtype)


def make(backbone: Backbone) -> nn.Module:
    """Return a model of random weights of the backbone's shape, in its type."""
    from transformers import AutoModelForImageTextToText

    config = configuration(backbone)
    made: nn.Module = AutoModelForImageTextToText.from_config(
        config, dtype=getattr(torch, backbone.dtype)
    )
    return made


def configuration(backbone: Backbone) -> Any:
    """Return transformers' configuration of the backbone's shape."""
    from transformers import AutoConfig

    kind = str(backbone.architecture).split("/")[0]
    shape = backbone.shape or {}
    config = AutoConfig.for_model(kind, **{part: dict(sizes) for part, sizes in shape.items()})
    config.get_text_config().pad_token_id = 0  # of a smaller vocabulary than the default's
    if kind != "mllama":
        config.image_token_id = config.get_text_config().vocab_size - 1
    return config


def inputs_of(backbone: Backbone, micro: int, text: int) -> dict[str, torch.Tensor]:
    """Return inputs of so many samples, each of a picture and `text` other tokens."""
    config, edge = configuration(backbone), backbone.image.size
    kind, vision = config.model_type, config.vision_config
    if kind == "mllama":
        tiles, size = vision.max_num_tiles, vision.image_size
        ids = torch.ones(micro, text, dtype=torch.long)
        mask = torch.zeros(micro, text, 1, tiles)
        mask[..., 0] = 1
        aspect = torch.zeros(micro, 1, tiles, dtype=torch.long)
        aspect[..., 0] = 1
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "pixel_values": torch.randn(micro, 1, tiles, 3, size, size),
            "aspect_ratio_ids": torch.ones(micro, 1, dtype=torch.long),
            "aspect_ratio_mask": aspect,
            "cross_attention_mask": mask.long(),
        }
    if kind == "llava":
        seen = (edge // vision.patch_size) ** 2
        pixels = {"pixel_values": torch.randn(micro, 3, edge, edge)}
        image = (
            config.image_token_index
            if hasattr(config, "image_token_index")
            else config.image_token_id
        )
    else:
        side = edge // vision.patch_size
        seen = (side // vision.spatial_merge_size) ** 2
        row = 3 * vision.temporal_patch_size * vision.patch_size**2
        pixels = {
            "pixel_values": torch.randn(micro * side**2, row),
            "image_grid_thw": torch.tensor([[1, side, side]] * micro),
        }
    ids = torch.ones(micro, seen + text, dtype=torch.long)
    image = config.image_token_id
    ids[:, 1 : seen + 1] = image
    # A shorter prompt is padded, so that attention has a mask, as it mostly has.
    held = torch.ones_like(ids)
    if micro > 1:
        held[0, -1] = 0
    if kind != "llava":
        pixels["mm_token_type_ids"] = (ids == image).long()
    return {"input_ids": ids, "attention_mask": held, **pixels}


def training(backbone: Backbone, recipe: Recipe, micro: int, text: int) -> int:
    """Return the peak of tensor bytes of a step, gradients of an earlier part at hand."""
    low = getattr(torch, backbone.dtype)
    sharded = recipe.method == "full" and low != torch.float32

    def work(begin: Callable[[], None]) -> None:
        with joined("cpu", sharded) as world:
            model = choose_parameters(make(backbone), recipe)
            answers = spread(model, backbone, world)
            trained = [p for p in model.parameters() if p.requires_grad]
            optimiser = torch.optim.AdamW(trained, fused=True)
            inputs = inputs_of(backbone, micro, text)
            model.train()
            small = inputs_of(backbone, 1, text)
            _part(answers, small, world, low)
            optimiser.step()
            begin()
            _part(answers, inputs, world, low)

    return _peak(work)


def _part(
    model: nn.Module, inputs: dict[str, torch.Tensor], world: World, low: torch.dtype
) -> None:
    cast = low != torch.float32 and world.mesh is None
    with torch.autocast("cpu", low, enabled=cast):
        logits = model(inputs)
        loss = nn.functional.cross_entropy(
            logits, torch.ones(len(logits), dtype=torch.long), reduction="sum"
        )
    loss.backward()


def answering(backbone: Backbone, micro: int, text: int) -> int:
    """Return the peak of tensor bytes while transformers answers.

    Without the exact head, which on a card copies nothing and on a CPU its weights.
    """

    def work(begin: Callable[[], None]) -> None:
        model = make(backbone).eval()
        inputs = inputs_of(backbone, micro, text)
        begin()
        with torch.inference_mode():
            last_logits(model, inputs)

    return _peak(work)


def _peak(work: Callable[[Callable[[], None]], None]) -> int:
    """Return the most bytes that tensors take once the work says that it begins."""
    gc.collect()  # what an earlier call left would be freed within this one
    marks: list[int] = []
    with Allotted(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:

        def begin() -> None:
            with torch.profiler.record_function("matcg begins"):
                marks.append(1)

        work(begin)
    events = seen.profiler.kineto_results.events()  # type: ignore[union-attr]
    start = next(e.start_ns() for e in events if e.name() == "matcg begins")
    held = most = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        held += event.nbytes()
        if event.start_ns() >= start:
            most = max(most, held)
    return most
