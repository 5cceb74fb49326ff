"""Starts engines: one module `NAME_engine` in this folder each, found by its file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matcg import evaluate, plugins
from matcg.config.backbone import Backbone
from matcg.evaluate.engine import Engine


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
    """
    started: Engine = engine_of(backbone)(weights, backbone, settings, pictures, rank)
    return started


def engine_of(backbone: Backbone) -> Any:
    """Return the class of a backbone's engine."""
    return plugins.load_module(evaluate, backbone.engine, "engine", evaluate.ENGINE).ENGINE
