"""Qwen3-VL: some layers of its tower reach the text model too."""

from typing import Any

from matcg.models.families import Family, Sibling
from matcg.models.families.qwen2_5_vl import TOWER_SIZES
from matcg.models.families.qwen2_vl import (
    MERGERS,
    MROPE,
    SPECIAL,
    VISUAL,
    bounds,
    patches,
    seen,
    shape,
    tokens,
)
from matcg.models.shape import Config, Shape, tower_layers
from matcg.models.small_sizes import HEADS, WIDTH, sizes, text


def _shape(config: Config, edge: int, text: int) -> Shape:
    """Return a model's sizes, with a merger for each layer that reaches the text model."""
    vision = config["vision_config"]
    width, inner = vision["hidden_size"], vision["intermediate_size"]
    rows, row = patches(vision, edge, width)
    rest = row + width + vision["num_position_embeddings"] * width
    layers = tower_layers(vision["depth"], rows, width, inner, vision["num_heads"], fused=True)
    deep = len(vision["deepstack_visual_indexes"])
    return shape(config, text, layers, rest, normed=True, more=deep)


def _make(tokenizer: Any, edge: int) -> tuple[Any, Any]:
    """Return a model with one deep layer of vision that also reaches the text model."""
    from transformers import (
        Qwen2VLImageProcessorPil,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": MROPE}
    config = Qwen3VLConfig(
        text_config=text(
            tokenizer, head_dim=WIDTH // HEADS, rope_parameters={**rope, "mrope_interleaved": True}
        ),
        vision_config=sizes(TOWER_SIZES, num_position_embeddings=16, deepstack_visual_indexes=[0]),
        **tokens(tokenizer),
    )
    size = bounds(edge, 16)
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    processor = Qwen3VLProcessor(
        Qwen2VLImageProcessorPil(**size, **half), tokenizer, Qwen3VLVideoProcessor(**size, **half)
    )
    return Qwen3VLForConditionalGeneration(config), processor


FAMILY = Family(
    tower=VISUAL,
    projector=MERGERS,
    siblings={"": Sibling(96, "", "<|endoftext|>", SPECIAL, _make)},
    seen=seen,
    shape=_shape,
)
