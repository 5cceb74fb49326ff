"""Kept answers: a file for each run and question set, so that none is asked twice.

Snakemake does not know these files: a run that is added, a target that is added, or a job that was
killed halfway finds all answers there that are still valid.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from matcg.evaluate.question_sets import QuestionSet
from matcg.samples import label_of


@dataclass(frozen=True, slots=True)
class Store:
    """The kept answers of one backbone's runs, below a folder that is named after the backbone."""

    folder: Path

    def path(self, run: str, question_set: QuestionSet) -> Path:
        """Return the file of one run's answers on one question set."""
        return self.folder / run / question_set.file

    def holds(self, run: str, question_set: QuestionSet, digest: str) -> bool:
        """Tell whether answers are kept that are of just these weights and questions.

        The label stands at the end of the file: one that was cut short has none.
        """
        return bool(label_of(self.path(run, question_set)).get("digest") == digest)

    def write(
        self, run: str, question_set: QuestionSet, digest: str, table: pa.Table, **told: object
    ) -> None:
        """Keep answers, with what they are of: they are there whole or not at all."""
        path = self.path(run, question_set)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        label = {"digest": digest, "place": f"{self.folder.name}/{run}/{question_set.file}", **told}
        labelled = table.replace_schema_metadata({"matcg": json.dumps(label)})
        pq.write_table(labelled, part, compression="zstd")
        part.replace(path)


def digest_of_answers(weights: str, question_set: str) -> str:
    """Return the digest of what a run's answers on a question set depend on."""
    return hashlib.sha256(f"{weights} {question_set}".encode()).hexdigest()
