"""Canonical samples: the one form in which every source's questions reach the later steps."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# Samples held in memory at once while writing: photographs may take megabytes each.
GROUP = 256
CHOICE = "choice"  # the form of answer where none is named

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
    """One image with one question.

    `image` holds the encoded file, `fingerprint` the perceptual hash of what it shows, `origin` its
    path below the data folder, `group` the patient or sequence ("" where unknown), `boxes` rows of
    x, y, width, height in pixels (none for classification). One in `reserve` is trained on only in
    place of another one of its subset that may not be. `form` names the form of its answer, one for
    all samples of a file.
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
    form: str = CHOICE


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
    group = list(islice(rest, GROUP))
    told = {"digest": digest}
    if group and group[0].form != CHOICE:
        told["form"] = group[0].form
    with pq.ParquetWriter(path, labelled(SCHEMA, told), compression="zstd") as writer:
        while group:
            writer.write_table(pa.Table.from_pylist(list(map(asdict, group)), schema=SCHEMA))
            group = list(islice(rest, GROUP))


def read_samples(path: Path, pictures: bool = True) -> list[Sample]:
    """Return the samples of one file in their order, on wish without their pictures and boxes."""
    left_out = () if pictures else ("image", "boxes")
    table = pq.read_table(path, columns=[name for name in SCHEMA.names if name not in left_out])
    form = json.loads((table.schema.metadata or {}).get(b"matcg", b"{}")).get("form", CHOICE)
    rows = [{"image": b"", "boxes": (), **row, "form": form} for row in table.to_pylist()]
    for row in rows:
        row["options"] = tuple(row["options"])
        row["boxes"] = tuple(tuple(box) for box in row["boxes"])
    return [Sample(**row) for row in rows]
