"""LoRA runs: which an engine can apply request by request, and whole weights of the others.

vLLM ignores, or fails at, adapters of vision tower and projector (its issues 23796 and 31479).
"""

import re
from pathlib import Path

from matcg.config.backbone import Backbone
from matcg.errors import DataError
from matcg.models.weights import (
    ADAPTER,
    adapter_config,
    check_adapter,
    part_of,
    shapes_in,
    weights_folder,
)

_PLAIN = re.compile(r".*\.lora_[AB]\.weight")


def rank_of(folder: Path) -> int:
    """Return the rank of a run's adapter, 0 where its folder holds whole weights.

    Raises:
        DataError: the adapter's description cannot be read.
    """
    config = adapter_config(folder)
    return max([config["r"], *config.get("rank_pattern", {}).values()]) if config else 0


def must_merge(folder: Path) -> bool:
    """Return whether an adapter is more than low-rank matrices of the language model.

    Raises:
        DataError: the adapter cannot be read.
    """
    names = shapes_in(folder / ADAPTER)
    return adapter_config(folder).get("use_dora", False) or not all(
        _PLAIN.fullmatch(name) and part_of(name) == "llm" for name in names
    )


def merge(folder: Path, backbone: Backbone, out: Path) -> Path:
    """Write the backbone's weights with an adapter added to `out`, whole or not at all.

    Raises:
        DataError: the adapter cannot be read, does not fit or changes nothing.
    """
    import torch
    from peft import PeftModel
    from transformers.utils import logging

    from matcg.models.loading import load_model, save_weights, weight_names

    check_adapter(folder, backbone)
    logging.disable_progress_bar()
    model, processor = load_model(backbone.weights, backbone)
    adapted = PeftModel.from_pretrained(model, folder)
    # An adapter begins with zeros as its second factors.
    if not any(p.any() for name, p in adapted.named_parameters() if ".lora_B." in name):
        raise DataError(f"{folder}: this adapter changes nothing; train the run again")
    with torch.no_grad():
        merged = adapted.merge_and_unload()
    save_weights(merged, processor, out, weight_names(weights_folder(backbone)))
    return out
