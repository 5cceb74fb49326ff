"""Sizes of tiny models, under the names that configurations have for them."""

from typing import Any

WIDTH = 64
HEADS = 2
LAYERS = 2
_KINDS = ("pad", "bos", "eos")
# Special tokens of published tokenisers.
CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def sizes(names: str, **more: Any) -> dict[str, Any]:
    """Return the sibling's sizes under the names that a configuration has for them."""
    known = {
        **dict.fromkeys(("hidden_size", "embed_dim", "out_hidden_size", "projection_dim"), WIDTH),
        **dict.fromkeys(("num_attention_heads", "num_heads", "attention_heads"), HEADS),
        **dict.fromkeys(("num_hidden_layers", "depth"), LAYERS),
        "intermediate_size": 2 * WIDTH,
    }
    return {name: known[name] for name in names.split()} | more


def text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    """Return the settings that all text models share."""
    special = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in _KINDS}
    settings = {
        "vocab_size": len(tokenizer),
        "num_key_value_heads": 1,
        "max_position_embeddings": 2048,
    }
    names = "hidden_size intermediate_size num_hidden_layers num_attention_heads"
    return sizes(names) | settings | special | more
