"""What a group of runs is to be asked: a sheet is one target's questions by one protocol."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from matcg import versions
from matcg.config import Backbone, Protocol, by_tag


@dataclass(frozen=True, slots=True)
class Sheet:
    """One target's questions as one protocol asks them; `tag` ends the names of their answers.

    `draw` numbers the draw of examples, which come from the training samples in `pool`.
    """

    catalog: str
    target: str
    tag: str
    protocol: Protocol
    draw: int
    test: Path
    pool: Path | None = None

    @property
    def file(self) -> str:
        """Return where its answers lie below a run's folder."""
        return f"{self.catalog}/{self.target}{self.tag}.parquet"

    def digest(self) -> str:
        """Return what decides its questions and examples."""
        known = f"{self.protocol.identity()} {self.draw} "
        return known + " ".join(digest_of(path) for path in (self.test, self.pool) if path)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_asked(
    asked: Mapping[str, Iterable[tuple[str, str, str]]],
    protocols: Mapping[str, Protocol],
    data: Path,
) -> dict[str, list[Sheet]]:
    """Return each run's sheets from its (catalog, target, tag); `data` is results/data."""
    tagged = by_tag(protocols.values())
    found = {}
    for run, places in asked.items():
        found[run] = [
            Sheet(
                catalog,
                target,
                tag,
                protocol,
                draw,
                data / catalog / target / "test.parquet",
                data / catalog / target / "train.parquet" if protocol.shots else None,
            )
            for catalog, target, tag in places
            for protocol, draw in [tagged[tag]]
        ]
    return found


def weights_digest(run: str, weights: Path, backbone: Backbone) -> str:
    """Return what a run's answers depend on besides the questions: weights and who is asked."""
    files = sorted([*weights.glob("*.safetensors"), *weights.glob("adapter_config.json")])
    known = [versions.PREDICT, run, backbone.identity(), backbone.asked()]
    return json.dumps([*known, *(digest_of(file) for file in files)])
