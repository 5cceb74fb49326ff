"""An engine that only tests have: it is the surer of A the longer the sample's name is."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matcg.config.backbone import Backbone
from matcg.evaluate.engine import Engine
from matcg.evaluate.requests import Ask
from matcg.forms import Reply, of_one_token


class EchoEngine(Engine):
    """No model at all."""

    def __init__(
        self,
        weights: Path | str,
        backbone: Backbone,
        settings: Mapping[str, Any],
        pictures: int = 1,
        rank: int = 0,
    ) -> None:
        super().__init__(weights, backbone, settings)
        self.told = (settings, pictures, rank)
        self.tokens = {text: ord(text) for text in of_one_token()}

    def close(self) -> None:
        self.told = ({}, 0, 0)

    def _load(self, weights: Path) -> None:
        del weights

    def _answer(self, way: str, asks: Sequence[Ask], adapter: Path | None) -> list[Reply]:
        del adapter
        assert way == "token"
        shares = [1 / len(ask.sample_id) for ask in asks]
        return [Reply((math.log(each), math.log(1 - each)), ord("B")) for each in shares]


ENGINE = EchoEngine
