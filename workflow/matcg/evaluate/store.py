"""Answers of one run on one sheet, kept in a file each, so that none is computed twice.

Snakemake does not know these files: a run that is added, a target that is added, or a job that was
killed halfway finds all answers there that are still valid.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from matcg.evaluate.sheets import Sheet


@dataclass(frozen=True, slots=True)
class Store:
    """The kept answers of one backbone's runs, below a folder."""

    folder: Path

    def path(self, run: str, sheet: Sheet) -> Path:
        """Return the file of one run's answers on one sheet."""
        return self.folder / run / sheet.file

    def holds(self, run: str, sheet: Sheet, digest: str) -> bool:
        """Tell whether answers are kept that are of just these weights and questions.

        The record stands at the end of the file: one that was cut short has none.
        """
        try:
            schema = pq.read_schema(self.path(run, sheet))
        except (OSError, pa.ArrowException):
            return False
        record = json.loads((schema.metadata or {}).get(b"matcg", b"{}"))
        return bool(record.get("digest") == digest)

    def read(self, run: str, sheet: Sheet) -> pa.Table:
        """Return kept answers."""
        return pq.read_table(self.path(run, sheet))

    def write(self, run: str, sheet: Sheet, digest: str, table: pa.Table) -> None:
        """Keep answers: they are there whole or not at all."""
        path = self.path(run, sheet)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        labelled = table.replace_schema_metadata({"matcg": json.dumps({"digest": digest})})
        pq.write_table(labelled, part, compression="zstd")
        part.replace(path)


def digest_of_answers(weights: str, sheet: str) -> str:
    """Return the digest of what a run's answers on a sheet depend on."""
    return hashlib.sha256(f"{weights} {sheet}".encode()).hexdigest()
