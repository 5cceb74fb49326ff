"""A backbone's model: loaded, its trained parts chosen, run up to the answer, saved."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from matcg.config.backbone import Backbone, Recipe
from matcg.errors import DataError
from matcg.models.checks import check_architecture
from matcg.models.weights import ADAPTER_CONFIG, part_of


def load_model(weights: str, backbone: Backbone, device: str = "cpu") -> tuple[nn.Module, Any]:
    """Return a backbone's model, on a device, and processor; only safetensors are read.

    Raises:
        ConfigError: the weights are of another architecture than the backbone says.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    where = {"revision": backbone.revision, "trust_remote_code": backbone.trust_remote_code}
    check_architecture(AutoConfig.from_pretrained(weights, **where), backbone)
    model = AutoModelForImageTextToText.from_pretrained(
        weights,
        dtype=getattr(torch, backbone.dtype),
        use_safetensors=True,
        # Straight to a GPU: each of its processes would otherwise take the machine's memory.
        device_map={"": device},
        **where,
    )
    return model, AutoProcessor.from_pretrained(weights, **where)


def choose_parameters(model: nn.Module, recipe: Recipe) -> nn.Module:
    """Return the model with just the recipe's parts trainable, with adapters for method lora.

    Raises:
        DataError: a part of the recipe has no parameters in this model.
    """
    names = [name for name, _ in model.named_parameters()]
    chosen = {name for name in names if part_of(name) in recipe.trains}
    for part in recipe.trains:
        if not any(part_of(name) == part for name in names):
            raise DataError(f"recipe trains '{part}', but this model has no such part")
    if recipe.method == "lora":
        return _with_adapters(model, chosen, recipe)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    return model


def _with_adapters(model: nn.Module, chosen: set[str], recipe: Recipe) -> nn.Module:
    """Return the model with low-rank adapters on the linear layers of the chosen parts."""
    from peft import LoraConfig, get_peft_model  # two seconds, for LoRA only

    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and f"{name}.weight" in chosen and "lm_head" not in name
    ]
    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha or recipe.rank, target_modules=layers
    )
    adapted: nn.Module = get_peft_model(model, config)
    return adapted


class AnswerLogits(nn.Module):
    """A model that gives logits (tokens, vocabulary) where answers are said, and none elsewhere."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, Tensor], sizes: Sequence[int] = ()) -> Tensor:
        """Return the logits, in float32; see `last_logits`."""
        return last_logits(self.model, inputs, sizes)


def last_logits(model: nn.Module, inputs: dict[str, Tensor], sizes: Sequence[int] = ()) -> Tensor:
    """Return logits (n, vocabulary) after each text's last token; none are made elsewhere.

    At 32 prompts of 650 tokens the full logits of a 7B model would take gigabytes. Where `sizes`
    are given, logits of a text's so many last tokens follow each other, (sum of sizes, vocabulary).
    """
    hidden, head = last_hidden(model, inputs)
    ends = inputs["attention_mask"].sum(dim=1)
    sizes = sizes or [1] * len(ends)
    rows = torch.tensor([row for row, size in enumerate(sizes) for _ in range(size)])
    back = torch.tensor([place for size in sizes for place in range(size, 0, -1)])
    rows, back = rows.to(ends.device), back.to(ends.device)
    logits: Tensor = head(hidden[rows, ends[rows] - back]).float()
    return logits


def last_hidden(model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, nn.Module]:
    """Return the last layer's states (n, tokens, width), and what makes logits of them."""
    base: Any = model
    if hasattr(base, "get_base_model"):
        base = base.get_base_model()
    hidden: Tensor = base.model(**inputs, use_cache=False).last_hidden_state
    head: nn.Module = base.get_output_embeddings()
    return hidden, head


class ExactHead(nn.Module):
    """A head whose logits are float32, made of the weights of another as they are.

    In bfloat16 logits near 16 come in steps of 0.125, and letters tie. Weights are not copied on a
    GPU: a float32 copy would take 2 GB at a vocabulary of 152,000.
    """

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = head.weight, head.bias

    def forward(self, hidden: Tensor) -> Tensor:
        """Return logits (..., vocabulary)."""
        bias = None if self.bias is None else self.bias.float()
        if not hidden.is_cuda:
            return nn.functional.linear(hidden.float(), self.weight.float(), bias)
        rows = hidden.reshape(-1, hidden.shape[-1])
        logits = torch.mm(rows, self.weight.t(), out_dtype=torch.float32)
        return (logits if bias is None else logits + bias).reshape(*hidden.shape[:-1], -1)


def with_exact_head(model: Any) -> Any:
    """Return the model with an `ExactHead`, where its own would round."""
    head = model.get_output_embeddings()
    if head.weight.dtype != torch.float32:
        model.set_output_embeddings(ExactHead(head))
    return model


def save_weights(model: nn.Module, processor: Any, out: Path, layout: set[str]) -> None:
    """Write a run's weights to a folder that appears whole or not at all.

    Adapters are written as such, without the processor, which is the backbone's own.

    Raises:
        DataError: weights have names that `layout`, the base checkpoint, has not, so that an
            engine that could read the base could not read them.
    """
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    made: Any = model
    made.save_pretrained(part)
    if hasattr(model, "merge_and_unload"):
        _tidy_adapter(part)
    else:
        processor.save_pretrained(part)
        written = weight_names(part)
        # Old checkpoints hold buffers (`inv_freq`) that are no weights any more and are not saved.
        if layout and not written <= layout:
            odd = sorted(written ^ layout)[:3]
            raise DataError(f"{part}: weight names changed on saving ({', '.join(odd)} ...)")
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)


def _tidy_adapter(folder: Path) -> None:
    """Make peft's files the same wherever and whenever they are written: sets are unordered."""
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / ADAPTER_CONFIG
    config = json.loads(file.read_text())
    config["target_modules"] = sorted(config["target_modules"])
    if Path(config["base_model_name_or_path"] or "").is_dir():
        config["base_model_name_or_path"] = None
    file.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def weight_names(folder: Path) -> set[str]:
    """Return the names of all tensors in a folder's safetensors files."""
    names: set[str] = set()
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            names |= set(tensors.keys())
    return names
