"""Llama 3.2 Vision: pictures are read by layers of their own, in tiles."""

from dataclasses import replace
from typing import Any

from matcg.models.families import Family, Seen, Sibling
from matcg.models.shape import Config, Shape, text_layers, tower_layers
from matcg.models.small_sizes import LAYERS, WIDTH, sizes, text

HEADERS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_SPECIAL = (*HEADERS, "<|finetune_right_pad_id|>", "<|python_tag|>", "<|image|>")


def _seen(base: Any, edge: int) -> Seen:
    """Return what becomes of a picture.

    The tower is given all tiles, and a picture's own attend to the empty ones too; only its own are
    read by the language model.
    """
    vision = base.config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    own = min(vision.max_num_tiles, (edge // vision.image_size) ** 2 or 1)
    # The state of the class, and as many more as make a multiple of eight.
    rows = vision.max_num_tiles * (-(-(patches + 1) // 8) * 8)
    layers = max(vision.num_hidden_layers, vision.num_global_layers)
    return Seen(
        base.model.vision_model,
        vision.max_num_tiles * patches,
        rows,
        [rows**2] * layers,
        [base.model.multi_modal_projector],
        own * (patches + 1),
        aside=True,
    )


def _shape(config: Config, edge: int, text: int) -> Shape:
    """Return a model's sizes: of a picture all tiles go through the tower, empty ones too."""
    del edge  # tiles are of the tower's own size
    words, vision = config["text_config"], config["vision_config"]
    width, wide, inner = words["hidden_size"], vision["hidden_size"], vision["intermediate_size"]
    patches, tiles = (vision["image_size"] // vision["patch_size"]) ** 2, vision["max_num_tiles"]
    ratios = 1 + len(vision["supported_aspect_ratios"])
    states = tiles * (patches + 1)
    read = len(words["cross_attention_layers"])
    whole = text_layers(words, text)
    own = replace(whole, count=whole.count - read)
    each = width // whole.heads
    crossing = replace(
        whole, count=read, vectors=2 * width + 2 * each + 2, side=states, kept=3 * whole.query
    )
    depth, wider = vision["num_hidden_layers"], vision["num_global_layers"]
    rows, heads = tiles * (-(-(patches + 1) // 8) * 8), vision["attention_heads"]
    vectors = inner + 5 * wide
    # `MllamaVisionEncoderLayer` is no `GradientCheckpointingLayer`.
    kinds = {"vectors": vectors, "listed": True, "checkpointed": False}
    local = tower_layers(depth, rows, wide, inner, heads, **kinds)
    gated = replace(local, count=wider, vectors=local.vectors + 2, kept=2 * wide)
    embedding = wide * (1 + 3 * vision["patch_size"] ** 2 + patches + 1 + 4)
    embedding += ratios * tiles * (patches + 3) * wide + 3
    out = vision["vision_output_dim"]
    pixels = 2 * tiles * 3 * vision["image_size"] ** 2  # they come in float32
    # States of all layers, embedded patches, and the chosen states stacked, which the projector is
    # given beside the last layer's.
    passing = rows * wide * (depth + wider) + tiles * patches * wide + rows * (out - wide)
    return Shape(
        (own, crossing, local, gated),
        (words["vocab_size"] + 8) * width,
        words["vocab_size"] * width,
        words["vocab_size"],
        width,
        {"tower": embedding, "projector": (out + 1) * width, "llm": width},
        0,
        ((out, width),),
        # The projector's input, a copy of it for adapters, and its output.
        states * (2 * out + width) + pixels,
        rows**2,
        passing + states * out + rows**2 + pixels,
    )


def _make(tokenizer: Any, edge: int) -> tuple[Any, Any]:
    """Return a model; as in the published one the picture's token has no logit."""
    from transformers import (
        MllamaConfig,
        MllamaForConditionalGeneration,
        MllamaImageProcessorPil,
        MllamaProcessor,
    )

    image = tokenizer.convert_tokens_to_ids("<|image|>")
    words = text(
        tokenizer, vocab_size=image, num_hidden_layers=LAYERS + 1, cross_attention_layers=[1]
    )
    vision = sizes(
        "hidden_size intermediate_size attention_heads num_hidden_layers",
        num_global_layers=1,
        vision_output_dim=2 * WIDTH,
        image_size=edge,
        intermediate_layers_indices=[0],
    )
    config = MllamaConfig(text_config=words, vision_config=vision, image_token_index=image)
    pixels = MllamaImageProcessorPil(size={"height": edge, "width": edge})
    return MllamaForConditionalGeneration(config), MllamaProcessor(pixels, tokenizer)


FAMILY = Family(
    tower=("vision_model",),
    projector=("multi_modal_projector",),
    siblings={"": Sibling(56, "<|begin_of_text|>", "<|finetune_right_pad_id|>", _SPECIAL, _make)},
    seen=_seen,
    shape=_shape,
)
