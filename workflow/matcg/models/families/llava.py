"""LLaVA: a tower of CLIP or SigLIP, two layers that project, and a text model."""

from functools import partial
from pathlib import Path
from typing import Any

from matcg.models.families import Family, Seen, Sibling
from matcg.models.shape import Config, Shape, text_layers, tower_layers
from matcg.models.small_sizes import CHAT, LAYERS, sizes, text

# LLaVA is made of other models: these are the ones whose layers are counted right.
TOWERS = ("clip_vision_model", "siglip_vision_model")
_TEXTS = ("llama", "qwen2")


def _seen(base: Any, edge: int) -> Seen | None:
    """Return what becomes of a picture; None over other towers and text models."""
    config = base.config
    vision = config.vision_config
    if vision.model_type not in TOWERS or config.text_config.model_type not in _TEXTS:
        return None
    patches = (edge // vision.patch_size) ** 2
    rows = patches + (vision.model_type == "clip_vision_model")  # CLIP has a state for the class
    chosen = config.vision_feature_layer
    depth = vision.num_hidden_layers + 1
    read = max(layer % depth for layer in ([chosen] if isinstance(chosen, int) else chosen))
    states = rows - (config.vision_feature_select_strategy == "default")
    model = base.model
    return Seen(
        model.vision_tower,
        patches,
        rows,
        [rows**2] * read,
        [model.multi_modal_projector],
        states,
    )


def _shape(config: Config, edge: int, text: int) -> Shape | None:
    """Return the sizes of a LLaVA over CLIP; one layer of the tower is as a rule not read."""
    words, vision = config["text_config"], config["vision_config"]
    if vision["model_type"] != TOWERS[0] or words["model_type"] not in _TEXTS:
        return None
    width, wide = words["hidden_size"], vision["hidden_size"]
    seen = (edge // vision["patch_size"]) ** 2
    places = (vision["image_size"] // vision["patch_size"]) ** 2 + 1
    tower = tower_layers(
        vision["num_hidden_layers"],
        seen + 1,
        wide,
        vision["intermediate_size"],
        vision["num_attention_heads"],
        quick=True,
        listed=True,
    )
    embedding = words["vocab_size"] * width
    return Shape(
        (text_layers(words, seen + text, biased=words["model_type"] == "qwen2"), tower),
        embedding,
        0 if words.get("tie_word_embeddings") else embedding,
        words["vocab_size"],
        width,
        {
            "tower": wide * (1 + places + 3 * vision["patch_size"] ** 2 + 4),
            "projector": width * (wide + 1) + width * (width + 1),
            "llm": width,
        },
        seen,
        ((wide, width), (width, width)),
    )


def _make(text_model: str, tokenizer: Any, edge: int) -> tuple[Any, Any]:
    """Return a LLaVA over a text model; as in the published ones the last layer is not read."""
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        Qwen2Config,
    )

    texts = {"llama": LlamaConfig, "qwen2": Qwen2Config}
    patch = 14
    vision = CLIPVisionConfig(
        **sizes(
            "hidden_size intermediate_size projection_dim num_attention_heads",
            num_hidden_layers=LAYERS + 1,
            image_size=edge,
            patch_size=patch,
        )
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=texts[text_model](**text(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(edge // patch) ** 2,
    )
    pixels = CLIPImageProcessorPil(
        size={"shortest_edge": edge}, crop_size={"height": edge, "width": edge}
    )
    processor = LlavaProcessor(
        image_processor=pixels,
        tokenizer=tokenizer,
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
    )
    return LlavaForConditionalGeneration(config), processor


def name_as_published(file: Path) -> None:
    """Rename the tower's tensors in the weights of a LLaVA that was born from random weights.

    It names its tower `vision_tower.x`; published checkpoints, and vLLM with them, say
    `vision_tower.vision_model.x`. Once renamed, loading and saving keep it.
    """
    from safetensors.torch import load_file, save_file

    old, new = "vision_tower.", "vision_tower.vision_model."
    weights = {
        name if new in name else name.replace(old, new): value
        for name, value in load_file(file).items()
    }
    save_file(weights, file, metadata={"format": "pt"})


def publish(folder: Path) -> None:
    """Give the tower's tensors the names that they were published with."""
    name_as_published(folder / "model.safetensors")


FAMILY = Family(
    tower=("vision_tower",),
    projector=("multi_modal_projector",),
    siblings={
        "llama": Sibling(56, "<s>", "<pad>", (), partial(_make, "llama")),
        "qwen2": Sibling(56, "", "<|endoftext|>", CHAT, partial(_make, "qwen2")),
    },
    seen=_seen,
    publish=publish,
    shape=_shape,
)
