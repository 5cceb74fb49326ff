"""Qwen2.5-VL: most layers of its tower look through windows."""

from dataclasses import replace
from typing import Any

from matcg.models.families import Family, Seen, Sibling
from matcg.models.families.qwen2_vl import (
    MERGERS,
    MROPE,
    SPECIAL,
    VISUAL,
    bounds,
    flatten,
    patches,
    shape,
    tokens,
)
from matcg.models.families.qwen2_vl import seen as seen_whole
from matcg.models.shape import Config, Shape, tower_layers
from matcg.models.small_sizes import LAYERS, sizes, text

TOWER_SIZES = "depth hidden_size intermediate_size out_hidden_size num_heads"


def _seen(base: Any, edge: int) -> Seen:
    """Return what becomes of a picture, of which most layers see windows."""
    vision, whole = base.config.vision_config, seen_whole(base, edge)
    merge = vision.spatial_merge_size
    units = edge // vision.patch_size // merge
    near = _windows(units, vision.window_size // merge // vision.patch_size) * merge**4
    wide = vision.fullatt_block_indexes
    return replace(whole, pairs=[many if n in wide else near for n, many in enumerate(whole.pairs)])


def _windows(units: int, span: int) -> int:
    """Return the pairs within windows of `span` x `span` that cover a square of `units` a side."""
    widths = [min(span, units - start) for start in range(0, units, span)]
    return sum(width**2 for width in widths) ** 2


def _shape(config: Config, edge: int, text: int) -> Shape:
    """Return a model's sizes; RMSNorm and three matrices in the tower, as in a text model."""
    vision = config["vision_config"]
    width, inner = vision["hidden_size"], vision["intermediate_size"]
    rows, rest = patches(vision, edge, width)
    biases = 4 * width + 2 * inner + width
    layers = tower_layers(
        vision["depth"],
        rows,
        width,
        inner,
        vision["num_heads"],
        fused=True,
        gated=True,
        centred=False,
        vectors=biases + 2 * width,
    )
    return shape(config, text, layers, rest)


def _make(tokenizer: Any, edge: int) -> tuple[Any, Any]:
    """Return a model whose tower looks through windows of 2 x 2 merged patches, then wide."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessorPil,
        Qwen2VLVideoProcessor,
    )

    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": MROPE}
    config = Qwen2_5_VLConfig(
        text_config=text(tokenizer, rope_parameters=rope),
        vision_config=sizes(TOWER_SIZES, window_size=56, fullatt_block_indexes=[LAYERS - 1]),
        **tokens(tokenizer),
    )
    size = bounds(edge, 14)
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessorPil(**size), tokenizer, Qwen2VLVideoProcessor(**size)
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor


FAMILY = Family(
    tower=VISUAL,
    projector=MERGERS,
    siblings={"": Sibling(84, "", "<|endoftext|>", SPECIAL, _make)},
    seen=_seen,
    publish=flatten,
    shape=_shape,
)
