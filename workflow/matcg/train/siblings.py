"""Tiny siblings of the architectures that backbones have: the real classes with random weights.

What a backbone's class, processor and prompt do can so be tried without its download. A sibling
knows nothing: its answers are for comparisons, as between transformers and vLLM.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers.processors import TemplateProcessing
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    MllamaConfig,
    MllamaForConditionalGeneration,
    MllamaImageProcessorPil,
    MllamaProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Config,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from matcg.config.backbone import Backbone, Resources
from matcg.errors import ConfigError
from matcg.tiny.make import name_as_published
from matcg.tiny.model import make_tokenizer

WIDTH = 64
HEADS = 2
LAYERS = 2
# Of each rotary dimension's half, 16 here, the shares of time, height and width.
MROPE = [4, 6, 6]
KINDS = ("pad", "bos", "eos")
QWEN_TOWER = "depth hidden_size intermediate_size out_hidden_size num_heads"


@dataclass(frozen=True, slots=True)
class Architecture:
    """How a sibling is made.

    `edge` is the picture's in pixels; `begin` the token that the published tokeniser puts before
    every text, "" for none; `make` gives model and processor for a tokeniser and an edge.
    """

    edge: int
    begin: str
    pad: str
    tokens: tuple[str, ...]
    make: Callable[[PreTrainedTokenizerFast, int], tuple[PreTrainedModel, Any]]


def make_sibling(backbone: Backbone, out: Path, seed: int = 0) -> Backbone:
    """Write the tiny sibling of a backbone to `out`, and return the backbone with it in place.

    Prompt, geometry and recipes stay the file's own; weights, picture size, type of numbers and
    resources are the sibling's.

    Raises:
        ConfigError: no sibling is known of the backbone's architecture.
    """
    architecture = ARCHITECTURES.get(backbone.architecture or "")
    if architecture is None:
        raise ConfigError(
            f"backbone {backbone.name}: architecture: is {backbone.architecture or 'not said'};"
            f" there are tiny siblings of {', '.join(ARCHITECTURES)}; say one of these, or write"
            f" another in {Path(__file__).name}"
        )
    tokenizer = tokenizer_of(architecture)
    torch.manual_seed(seed)
    model, processor = architecture.make(tokenizer, architecture.edge)
    with torch.no_grad():
        _spread(model)
    _publish(model, processor, out)
    changes = {
        "weights": str(out),
        "revision": None,
        "original": None,
        "dtype": "float32",
        "image": backbone.image.model_copy(update={"size": architecture.edge}),
        "resources": Resources(),
        "_digest": "",
    }
    return backbone.model_copy(update=changes)


def _publish(model: PreTrainedModel, processor: Any, out: Path) -> None:
    """Write a model and its processor as the published ones lie on the hub.

    What transformers 5 writes differs: the names of LLaVA's tower, image settings within the
    processor's, Qwen2's text settings below a key of their own.
    """
    model.save_pretrained(out)
    processor.save_pretrained(out)
    if isinstance(model, LlavaForConditionalGeneration):
        name_as_published(out / "model.safetensors")
    settings = _read(out / "processor_config.json")
    pixels = settings.pop("image_processor")
    settings.pop("video_processor", None)
    if "merge_size" in pixels:
        size = pixels.pop("size")
        pixels |= {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
    _write(
        out / "preprocessor_config.json", pixels | {"processor_class": settings["processor_class"]}
    )
    _write(out / "processor_config.json", settings)
    if model.config.model_type in ("qwen2_vl", "qwen2_5_vl"):
        _flatten(out / "config.json")


def _flatten(file: Path) -> None:
    """Lift the text model's settings to the top of a configuration, its rotary ones renamed."""
    config = _read(file)
    text = config.pop("text_config")
    rope = text.pop("rope_parameters")
    scaling = {"type": "mrope", "mrope_section": rope["mrope_section"]}
    text |= {"rope_theta": rope["rope_theta"], "rope_scaling": scaling}
    _write(file, text | config)


def _read(file: Path) -> dict[str, Any]:
    """Return a JSON file's mapping."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _write(file: Path, data: dict[str, Any]) -> None:
    """Write a JSON file."""
    file.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def tokenizer_of(architecture: Architecture) -> PreTrainedTokenizerFast:
    """Return our own tokeniser, with the architecture's special tokens and its way to begin."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(architecture.tokens)})
    tokenizer.pad_token = architecture.pad
    tokenizer.bos_token = architecture.begin or None
    if architecture.begin:
        number = tokenizer.convert_tokens_to_ids(architecture.begin)
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{architecture.begin} $A",
            special_tokens=[(architecture.begin, number)],
        )
    return tokenizer


def _spread(model: PreTrainedModel) -> None:
    """Draw all weights so that every one of them matters to the answers.

    At the library's own spread the letters would all but tie, and mllama's gates start closed.
    """
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2 and "embed_tokens" not in name:
            parameter.normal_(0, float(parameter[0].numel()) ** -0.5)
        elif parameter.ndim >= 2:
            parameter.normal_(0, 1)
        elif name.endswith("bias"):
            parameter.normal_(0, 0.1)
        elif "gate" in name.rsplit(".", 1)[-1]:
            parameter.fill_(0.7)
        elif "norm" in name:
            parameter.uniform_(0.8, 1.2)


def _sizes(names: str, **more: Any) -> dict[str, Any]:
    """Return the sibling's sizes under the names that a configuration has for them."""
    known = {
        **dict.fromkeys(("hidden_size", "embed_dim", "out_hidden_size", "projection_dim"), WIDTH),
        **dict.fromkeys(("num_attention_heads", "num_heads", "attention_heads"), HEADS),
        **dict.fromkeys(("num_hidden_layers", "depth"), LAYERS),
        "intermediate_size": 2 * WIDTH,
    }
    return {name: known[name] for name in names.split()} | more


def _text(tokenizer: PreTrainedTokenizerFast, **more: Any) -> dict[str, Any]:
    """Return the settings that all text models share."""
    special = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in KINDS}
    settings = {
        "vocab_size": len(tokenizer),
        "num_key_value_heads": 1,
        "max_position_embeddings": 2048,
    }
    sizes = "hidden_size intermediate_size num_hidden_layers num_attention_heads"
    return _sizes(sizes) | settings | special | more


def _llava(
    text: type[LlamaConfig | Qwen2Config], tokenizer: PreTrainedTokenizerFast, edge: int
) -> tuple[PreTrainedModel, Any]:
    """Return a LLaVA over a text model; as in the published ones the last layer is not read."""
    patch = 14
    vision = CLIPVisionConfig(
        **_sizes(
            "hidden_size intermediate_size projection_dim num_attention_heads",
            num_hidden_layers=LAYERS + 1,
            image_size=edge,
            patch_size=patch,
        )
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text(**_text(tokenizer)),
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


def _llava_llama(tokenizer: PreTrainedTokenizerFast, edge: int) -> tuple[PreTrainedModel, Any]:
    return _llava(LlamaConfig, tokenizer, edge)


def _llava_qwen2(tokenizer: PreTrainedTokenizerFast, edge: int) -> tuple[PreTrainedModel, Any]:
    return _llava(Qwen2Config, tokenizer, edge)


def _qwen_tokens(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Return the ids that a Qwen model's configuration names."""
    kinds = ("image_pad", "video_pad", "vision_start", "vision_end")
    keys = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    ids = [tokenizer.convert_tokens_to_ids(f"<|{kind}|>") for kind in kinds]
    return dict(zip(keys, ids, strict=True))


def _pixels(edge: int, patch: int) -> dict[str, Any]:
    """Return settings of a Qwen image or video processor: pixels bounded as for one picture."""
    return {"patch_size": patch, "size": {"shortest_edge": 28 * 28, "longest_edge": edge * edge}}


def _qwen2(tokenizer: PreTrainedTokenizerFast, edge: int) -> tuple[PreTrainedModel, Any]:
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": MROPE}
    config = Qwen2VLConfig(
        text_config=_text(tokenizer, rope_parameters=rope),
        # Here the hidden size is the text model's, in later Qwen models the tower's own.
        vision_config=_sizes("depth embed_dim hidden_size num_heads", mlp_ratio=2),
        **_qwen_tokens(tokenizer),
    )
    size = _pixels(edge, 14)
    processor = Qwen2VLProcessor(
        Qwen2VLImageProcessorPil(**size), tokenizer, Qwen2VLVideoProcessor(**size)
    )
    return Qwen2VLForConditionalGeneration(config), processor


def _qwen25(tokenizer: PreTrainedTokenizerFast, edge: int) -> tuple[PreTrainedModel, Any]:
    """Return a Qwen2.5-VL whose tower looks through windows of 2 x 2 merged patches, then wide."""
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": MROPE}
    config = Qwen2_5_VLConfig(
        text_config=_text(tokenizer, rope_parameters=rope),
        vision_config=_sizes(QWEN_TOWER, window_size=56, fullatt_block_indexes=[LAYERS - 1]),
        **_qwen_tokens(tokenizer),
    )
    size = _pixels(edge, 14)
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessorPil(**size), tokenizer, Qwen2VLVideoProcessor(**size)
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor


def _qwen3(tokenizer: PreTrainedTokenizerFast, edge: int) -> tuple[PreTrainedModel, Any]:
    """Return a Qwen3-VL with one deep layer of vision that also reaches the text model."""
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": MROPE}
    config = Qwen3VLConfig(
        text_config=_text(
            tokenizer, head_dim=WIDTH // HEADS, rope_parameters={**rope, "mrope_interleaved": True}
        ),
        vision_config=_sizes(QWEN_TOWER, num_position_embeddings=16, deepstack_visual_indexes=[0]),
        **_qwen_tokens(tokenizer),
    )
    size = _pixels(edge, 16)
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    processor = Qwen3VLProcessor(
        Qwen2VLImageProcessorPil(**size, **half), tokenizer, Qwen3VLVideoProcessor(**size, **half)
    )
    return Qwen3VLForConditionalGeneration(config), processor


def _mllama(tokenizer: PreTrainedTokenizerFast, edge: int) -> tuple[PreTrainedModel, Any]:
    """Return a Llama 3.2 Vision; as in the published one the picture's token has no logit."""
    image = tokenizer.convert_tokens_to_ids("<|image|>")
    text = _text(
        tokenizer, vocab_size=image, num_hidden_layers=LAYERS + 1, cross_attention_layers=[1]
    )
    vision = _sizes(
        "hidden_size intermediate_size attention_heads num_hidden_layers",
        num_global_layers=1,
        vision_output_dim=2 * WIDTH,
        image_size=edge,
        intermediate_layers_indices=[0],
    )
    config = MllamaConfig(text_config=text, vision_config=vision, image_token_index=image)
    pixels = MllamaImageProcessorPil(size={"height": edge, "width": edge})
    return MllamaForConditionalGeneration(config), MllamaProcessor(pixels, tokenizer)


CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
HEADERS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
LLAMA = (*HEADERS, "<|finetune_right_pad_id|>", "<|python_tag|>", "<|image|>")
# Keys are what `architecture` in a backbone's file says.
ARCHITECTURES = {
    "llava/llama": Architecture(56, "<s>", "<pad>", (), _llava_llama),
    "llava/qwen2": Architecture(56, "", "<|endoftext|>", CHAT, _llava_qwen2),
    "qwen2_vl": Architecture(84, "", "<|endoftext|>", (*CHAT, *VISION), _qwen2),
    "qwen2_5_vl": Architecture(84, "", "<|endoftext|>", (*CHAT, *VISION), _qwen25),
    "qwen3_vl": Architecture(96, "", "<|endoftext|>", (*CHAT, *VISION), _qwen3),
    "mllama": Architecture(56, "<|begin_of_text|>", "<|finetune_right_pad_id|>", LLAMA, _mllama),
}
