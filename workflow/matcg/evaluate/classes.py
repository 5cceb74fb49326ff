"""Which of the backbones' classes vLLM has: it would fail on others without naming the reason."""

from pathlib import Path
from typing import Any

from matcg.config.backbone import Backbone
from matcg.errors import ConfigError


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
