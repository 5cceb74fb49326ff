"""Canonical samples: the one form in which every source's questions reach the later steps."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = [
    "LETTERS",
    "SCHEMA",
    "Sample",
    "label_of",
    "labelled",
    "question_text",
    "read_samples",
    "write_samples",
]

# Samples held in memory at once while writing: photographs may take megabytes each.
GROUP = 256
LETTERS = ascii_uppercase
INSTRUCTION = "Answer with the option's letter from the given choices directly."

SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("subset", pa.string()),
        ("image", pa.binary()),
        ("fingerprint", pa.string()),
        ("origin", pa.string()),
        ("question", pa.string()),
        ("options", pa.list_(pa.string())),
        ("answer", pa.int8()),
        ("label", pa.string()),
        ("dataset", pa.string()),
        ("group", pa.string()),
        ("boxes", pa.list_(pa.list_(pa.float32()))),
        ("reserve", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with one multiple-choice question.

    `image` holds the encoded file, `fingerprint` the perceptual hash of what it shows, `origin` its
    path below the data folder, `group` the patient or sequence ("" where unknown), `boxes` rows of
    x, y, width, height in pixels (none for classification). One in `reserve` is trained on only in
    place of another one of its subset that may not be.
    """

    sample_id: str
    subset: str
    image: bytes
    fingerprint: str
    origin: str
    question: str
    options: tuple[str, ...]
    answer: int
    label: str
    dataset: str
    group: str = ""
    boxes: tuple[tuple[float, ...], ...] = ()
    reserve: bool = False


def question_text(question: str, options: Iterable[str]) -> str:
    """Return the paper's template (its figure 8): question, an option a line, instruction."""
    lines = [f"{letter}: {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question, *lines, INSTRUCTION])


def labelled(schema: pa.Schema, told: Mapping[str, object]) -> pa.Schema:
    """Return the schema of a file that says of itself what it is."""
    return schema.with_metadata({"matcg": json.dumps(told)})


def label_of(path: Path) -> dict[str, Any]:
    """Return what a Parquet file says of itself; nothing where it is cut short or no such file."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return {}
    told: dict[str, Any] = json.loads(metadata.get(b"matcg", b"{}"))
    return told


def write_samples(path: Path, samples: Iterable[Sample], digest: str = "") -> None:
    """Write samples in the given order, a group at a time; the same samples give the same bytes.

    `digest` is what decided them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rest = iter(samples)
    with pq.ParquetWriter(path, labelled(SCHEMA, {"digest": digest}), compression="zstd") as writer:
        while group := [asdict(sample) for sample in islice(rest, GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))


def read_samples(path: Path) -> list[Sample]:
    """Return the samples of one file in their order."""
    rows = pq.read_table(path, schema=SCHEMA).to_pylist()
    for row in rows:
        row["options"] = tuple(row["options"])
        row["boxes"] = tuple(tuple(box) for box in row["boxes"])
    return [Sample(**row) for row in rows]
