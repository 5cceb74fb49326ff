"""Qwen2-VL, and what the later Qwen models share with it."""

import json
from pathlib import Path
from typing import Any

from matcg.models.families import Family, Seen, Sibling
from matcg.models.shape import Config, Layers, Shape, text_layers, tower_layers
from matcg.models.small_sizes import CHAT, sizes, text

# Of each rotary dimension's half in a sibling, 16, the shares of time, height and width.
MROPE = [4, 6, 6]
VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
SPECIAL = (*CHAT, *VISION)
VISUAL = ("visual",)
MERGERS = ("visual.merger", "visual.deepstack_merger_list")


def seen(base: Any, edge: int) -> Seen:
    """Return what becomes of a picture, each layer looking at all of it."""
    from torch import nn

    vision, visual = base.config.vision_config, base.model.visual
    side, merge = edge // vision.patch_size, vision.spatial_merge_size
    return Seen(
        nn.ModuleDict({"patch_embed": visual.patch_embed, "blocks": visual.blocks}),
        side**2,
        side**2,
        [side**4] * len(visual.blocks),
        [visual.merger, *getattr(visual, "deepstack_merger_list", ())],
        (side // merge) ** 2,
    )


def shape(
    config: Config,
    text: int,
    tower: Layers,
    rest: int,
    normed: bool = False,
    more: int = 0,
) -> Shape:
    """Return the sizes of a Qwen model around its tower's layers.

    `rest` are parameters of the tower outside of its layers, `more` the mergers beside the first;
    `normed`: the text model is Qwen3's, else Qwen2's.
    """
    words, vision = config["text_config"], config["vision_config"]
    width, merged = words["hidden_size"], tower.width * vision["spatial_merge_size"] ** 2
    seen = tower.rows // vision["spatial_merge_size"] ** 2
    embedding = words["vocab_size"] * width
    projector = (merged + 1) * merged + (merged + 1) * width
    norm = tower.width * (2 if tower.centred else 1)
    deep = 2 * merged  # norms of further mergers are as wide as what they merge
    return Shape(
        (text_layers(words, seen + text, biased=not normed, normed=normed), tower),
        embedding,
        0 if words.get("tie_word_embeddings") else embedding,
        words["vocab_size"],
        width,
        {
            "tower": rest,
            "projector": projector + norm + more * (projector + deep),
            "llm": width,
        },
        seen,
        ((merged, merged), (merged, width)) * (1 + more),
    )


def patches(vision: Config, edge: int, width: int) -> tuple[int, int]:
    """Return the patches of a square picture, and the parameters that embed one, without bias."""
    row = 3 * vision["temporal_patch_size"] * vision["patch_size"] ** 2
    return (edge // vision["patch_size"]) ** 2, row * width


def _shape(config: Config, edge: int, text: int) -> Shape:
    vision = config["vision_config"]
    width = vision["embed_dim"]
    rows, rest = patches(vision, edge, width)
    inner = width * vision["mlp_ratio"]
    tower = tower_layers(
        vision["depth"], rows, width, inner, vision["num_heads"], quick=True, fused=True
    )
    return shape(config, text, tower, rest)


def tokens(tokenizer: Any) -> dict[str, int]:
    """Return the ids that a Qwen model's configuration names."""
    kinds = ("image_pad", "video_pad", "vision_start", "vision_end")
    keys = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    ids = [tokenizer.convert_tokens_to_ids(f"<|{kind}|>") for kind in kinds]
    return dict(zip(keys, ids, strict=True))


def bounds(edge: int, patch: int) -> dict[str, Any]:
    """Return settings of a Qwen image or video processor: pixels bounded as for one picture."""
    return {"patch_size": patch, "size": {"shortest_edge": 28 * 28, "longest_edge": edge * edge}}


def _make(tokenizer: Any, edge: int) -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessorPil,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": MROPE}
    config = Qwen2VLConfig(
        text_config=text(tokenizer, rope_parameters=rope),
        # Here the hidden size is the text model's, in later Qwen models the tower's own.
        vision_config=sizes("depth embed_dim hidden_size num_heads", mlp_ratio=2),
        **tokens(tokenizer),
    )
    size = bounds(edge, 14)
    processor = Qwen2VLProcessor(
        Qwen2VLImageProcessorPil(**size), tokenizer, Qwen2VLVideoProcessor(**size)
    )
    return Qwen2VLForConditionalGeneration(config), processor


def flatten(folder: Path) -> None:
    """Lift the text model's settings to the top of a configuration, its rotary ones renamed."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    settings = config.pop("text_config")
    rope = settings.pop("rope_parameters")
    scaling = {"type": "mrope", "mrope_section": rope["mrope_section"]}
    settings |= {"rope_theta": rope["rope_theta"], "rope_scaling": scaling}
    known = json.dumps(settings | config, indent=2, sort_keys=True)
    file.write_text(known + "\n", encoding="utf-8")


FAMILY = Family(
    tower=VISUAL,
    projector=MERGERS,
    siblings={"": Sibling(84, "", "<|endoftext|>", SPECIAL, _make)},
    seen=seen,
    publish=flatten,
    shape=_shape,
)
