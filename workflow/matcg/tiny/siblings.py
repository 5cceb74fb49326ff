"""Tiny siblings of the architectures that backbones have: the real classes with random weights.

What a backbone's class, processor and prompt do can so be tried without its download. A sibling
knows nothing: its answers are for comparisons, as between transformers and vLLM.
"""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from matcg.config.backbone import Backbone, Resources
from matcg.errors import ConfigError
from matcg.models import families
from matcg.models.families import Sibling
from matcg.tiny.model import make_tokenizer


def make_sibling(backbone: Backbone, out: Path, seed: int = 0) -> Backbone:
    """Write the tiny sibling of a backbone to `out`, and return the backbone with it in place.

    Prompt, geometry and recipes stay the file's own; weights, picture size, type of numbers and
    resources are the sibling's.

    Raises:
        ConfigError: no sibling is known of the backbone's architecture.
    """
    known = families.siblings()
    architecture = known.get(backbone.architecture or "")
    if architecture is None:
        raise ConfigError(
            f"backbone {backbone.name}: architecture: is {backbone.architecture or 'not said'};"
            f" there are tiny siblings of {', '.join(known)}; say one of these, or write"
            f" another in {Path(families.__file__).parent.name}/"
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
    family = families.find(model.config.model_type)
    if family:
        family.publish(out)


def _read(file: Path) -> dict[str, Any]:
    """Return a JSON file's mapping."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _write(file: Path, data: dict[str, Any]) -> None:
    """Write a JSON file."""
    file.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def tokenizer_of(architecture: Sibling) -> PreTrainedTokenizerFast:
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
