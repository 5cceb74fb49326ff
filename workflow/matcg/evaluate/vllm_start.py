"""What has to be so before vLLM starts: its environment, classes, ranks, room for keys."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from matcg.config.backbone import Backbone
from matcg.errors import ConfigError, DataError

# Read when vllm is imported. In one process scheduling is deterministic and the start faster.
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # At level WARNING each picture adds a line on thread binding: a log of thousands of lines.
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}
MODEL_RUNNERS = {"v1": "0", "v2": "1"}
# Functions of torch's own that would compile at their first use; one token an answer never earns
# that back. vLLM's compilation ends in an error with it.
EAGER = {"TORCHDYNAMO_DISABLE": "1"}
PROMPTS_CACHED, MOST_CACHED = 64, 2**30


def set_environment(backbone: Backbone, settings: Mapping[str, Any]) -> None:
    """Set what vLLM reads when it is imported; `settings` are those of the config's `engine`."""
    os.environ.update(ENVIRONMENT)
    if settings.get("enforce_eager", True):
        os.environ.update(EAGER)
    os.environ["VLLM_USE_V2_MODEL_RUNNER"] = MODEL_RUNNERS[settings.get("model_runner", "v1")]
    os.environ["VLLM_BATCH_INVARIANT"] = str(int(settings.get("batch_invariant", False)))
    if not backbone.resources.gpu:
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"


def cache_bytes(config: Any, dtype: str, longest: int) -> int:
    """Return the room for attention keys on a CPU: of many of the longest prompts, with a bound.

    By itself vLLM takes half of the memory there is. All of it is written at the start, where a
    gibibyte takes two seconds.
    """
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    token = 2 * text.num_hidden_layers * heads * width * (4 if dtype == "float32" else 2)
    return int(min(MOST_CACHED, PROMPTS_CACHED * longest * token))


def refuse_slices() -> None:
    """Refuse slices of cards: vLLM 0.32 looks a slice's memory up at another device, or at none.

    `platforms/cuda.py` takes a slice's number within its card for the number of a card.

    Raises:
        ConfigError: this process has leased one.
    """
    if "MIG-" in (visible := os.environ.get("CUDA_VISIBLE_DEVICES", "")):
        raise ConfigError(
            f"CUDA_VISIBLE_DEVICES={visible}: vLLM cannot answer on a slice of a card (MIG), where"
            " fine-tuning can; name whole cards, or say `engine: transformers` in the backbone's"
            " file"
        )


def check_class(weights: Path | str, backbone: Backbone) -> Any:
    """Return the configuration of some weights, for which the installed vLLM has a class.

    Raises:
        ConfigError: it has none, so that it could not read the weights, or not answer as trained.
    """
    # Seconds to import; vLLM's settings, which are read on import, must have been set before.
    from transformers import AutoConfig
    from vllm import ModelRegistry, __version__

    config = AutoConfig.from_pretrained(
        str(weights), revision=backbone.revision, trust_remote_code=backbone.trust_remote_code
    )
    known = ModelRegistry.get_supported_archs()
    missing = [name for name in config.architectures or () if name not in known]
    if missing:
        raise ConfigError(
            f"backbone {backbone.name}: vLLM {__version__} has no class {missing[0]}; say"
            " `engine: transformers` in the backbone's file"
        )
    return config


def allowed_rank(rank: int) -> int:
    """Return the smallest rank that vLLM makes room for and that holds `rank`.

    Raises:
        DataError: there is none.
    """
    from vllm.config.lora import MaxLoRARanks

    for size in sorted(get_args(MaxLoRARanks)):
        if size >= rank:
            return int(size)
    raise DataError(f"rank {rank} is beyond what vLLM takes as an adapter; merge it, or lower it")
