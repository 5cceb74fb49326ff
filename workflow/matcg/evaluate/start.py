"""Starts engines: one module `NAME_engine` in this folder each, found by its file."""

import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matcg import evaluate, plugins
from matcg.config.backbone import Backbone
from matcg.errors import MatcgError, ResourceError
from matcg.evaluate.engine import Engine
from matcg.words import tidy

# What vLLM says of memory when it starts, and what helps.
_NO_ROOM = {
    r"Free memory on device": "another program, such as a desktop, holds memory of this GPU: end it"
    " or lower `gpu_memory_utilization`",
    r"cache is needed|memory for the cache": "lower `max_model_len` or `max_num_seqs`, or raise"
    " `gpu_memory_utilization`, on a CPU `kv_cache_mb`",
}
_TOO_LARGE = (
    "lower `max_num_seqs` or `gpu_memory_utilization`; where weights alone do not fit, a"
    " larger GPU is needed"
)


# Whether an engine was started in this process.
started = False


def prepare_engine(backbone: Backbone, settings: Mapping[str, Any]) -> None:
    """Do what a start needs that takes no device: import the libraries."""
    engine_of(backbone).prepare(backbone, settings)


def start(
    weights: Path | str,
    backbone: Backbone,
    settings: Mapping[str, Any],
    pictures: int = 1,
    rank: int = 0,
) -> Engine:
    """Start the backbone's engine on `weights`; `settings` are those of the config's `engine`.

    `pictures` is the most that one prompt will hold, `rank` the largest of the adapters that will
    be asked (0: none).

    Raises:
        ConfigError: there is no such engine, or no GPU where the backbone asks for some.
        DataError: the weights cannot be read, or the rank is beyond what the engine takes.
        ResourceError: memory did not suffice.
        MatcgError: the engine did not start for another reason.
    """
    global started
    started = True
    try:
        engine: Engine = engine_of(backbone)(weights, backbone, settings, pictures, rank)
    except MatcgError:
        raise
    except Exception as error:
        traceback.print_exc()  # what follows is one line
        raise _not_started(weights, error) from error
    return engine


def _not_started(weights: Path | str, error: Exception) -> MatcgError:
    """Return what to say of an engine that did not start."""
    from matcg.models.memory import out_of_memory

    said = tidy(str(error))
    where = f"{weights}: the engine did not start ({type(error).__name__}: {said})"
    advice = next((does for text, does in _NO_ROOM.items() if re.search(text, said)), None)
    if advice or out_of_memory(error):
        return ResourceError(f"{where}; in the config's `engine`, {advice or _TOO_LARGE}")
    return MatcgError(
        f"{where}; its traceback is above in the log. `engine: transformers` in the backbone's file"
        " answers without vLLM"
    )


def engine_of(backbone: Backbone) -> Any:
    """Return the class of a backbone's engine."""
    return plugins.load_module(evaluate, backbone.engine, "engine", evaluate.ENGINE).ENGINE
