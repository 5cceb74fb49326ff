"""Question sets: one target's questions by one protocol, and which each run of a group is asked."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path

from matcg import forms, told, versions
from matcg.config.backbone import Backbone
from matcg.config.protocol import Protocol
from matcg.errors import DataError
from matcg.models.identity import files_below, settings
from matcg.plan.records import draw_of, protocol_of
from matcg.samples import Sample, read_samples


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """One target's questions as one protocol asks them; `tag` ends the names of their answers.

    `draw` numbers the draw of examples, which come from the training samples in `pool`. `file` is
    where a run's answers lie below its folder. `lengths` says which questions the backbone is not
    asked.
    """

    catalog: str
    target: str
    tag: str
    file: str
    protocol: Protocol
    draw: int
    test: Path
    pool: Path | None = None
    lengths: Path | None = None

    def digest(self) -> str:
        """Return what decides its questions and examples.

        Raises:
            DataError: the samples are not those that their folder stands for.
        """
        files = [path for path in (self.test, self.pool) if path]
        for path in files:
            told.samples_digest(path)
        known = f"{self.protocol.identity()} {self.draw} "
        if aside := sorted(self.aside()):
            known += f"without {json.dumps(aside)} "
        return known + " ".join(map(_digest_of, files))

    def aside(self) -> dict[str, str]:
        """Return the ids of the questions that are not asked, with the reasons."""
        return told.set_aside(self.lengths)["test"] if self.lengths else {}

    def questions(self) -> list[Sample]:
        """Return the questions that are asked; raises as `possible`."""
        return first_questions(self.possible(), self.protocol)

    def possible(self) -> list[Sample]:
        """Return the questions that can be asked.

        Raises:
            DataError: there is none.
        """
        aside = self.aside()
        left = [each for each in read_samples(self.test) if each.sample_id not in aside]
        if not left:
            raise DataError(
                f"{self.test}: no question can be asked of this backbone ({len(aside)} are set"
                f" aside, the first: {next(iter(aside.values()), '')}); leave this target out"
            )
        return left


def first_questions(samples: Sequence[Sample], protocol: Protocol) -> list[Sample]:
    """Return the questions that a protocol asks: all, or the first ones, their kinds in turn."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        by_kind[forms.of(sample).kind(sample)].append(sample.sample_id)
    turns = chain(*zip_longest(*by_kind.values()))
    taken = set(islice((name for name in turns if name), protocol.questions))
    return [sample for sample in samples if sample.sample_id in taken]


def _digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_asked(
    asked: Mapping[str, Iterable[tuple[str, str, str, str, str]]],
    protocols: Mapping[str, Protocol],
    data: Path,
    lengths: Path | None = None,
) -> dict[str, list[QuestionSet]]:
    """Return each run's question sets from its (catalog, target, folder, tag, file).

    `data` is results/data; `folder` that of the target's samples below its catalog's, `lengths`
    that of what the backbone is not asked.
    """
    found = {}
    for run, places in asked.items():
        found[run] = [
            QuestionSet(
                catalog,
                target,
                tag,
                file,
                protocol,
                draw_of(tag),
                data / catalog / folder / "test.parquet",
                data / catalog / folder / "train.parquet" if protocol.shots else None,
                lengths / catalog / f"{folder}.json" if lengths else None,
            )
            for catalog, target, folder, tag, file in places
            for protocol in [protocols[protocol_of(tag)]]
        ]
    return found


def weights_digest(run: str, weights: Path, backbone: Backbone) -> str:
    """Return what a run's answers depend on besides the questions: weights and who is asked."""
    known_files = [*weights.glob("*.safetensors"), *weights.glob("adapter_config.json")]
    files = sorted(files_below(weights) if backbone.commands else known_files)
    known = [versions.PREDICT, run, settings(backbone), backbone.asked()]
    return json.dumps([*known, *(_digest_of(file) for file in files)])
