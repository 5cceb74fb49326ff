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

FINDINGS = pa.list_(
    pa.struct(
        [("label", pa.string()), ("box", pa.list_(pa.float64())), ("mask", pa.string())],
    )
)
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
        ("findings", FINDINGS),
        ("size", pa.list_(pa.int32())),
        ("reserve", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is to be found in a picture.

    `box` is [x1, y1, x2, y2) in pixels of the original picture, from its left upper corner; `mask`
    COCO's compressed run lengths over the whole picture, empty where only the box is known.
    """

    label: str
    box: tuple[float, ...]
    mask: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with one question.

    `image` holds the encoded file, `fingerprint` the perceptual hash of what it shows, `origin` its
    path below the data folder, `group` the patient or sequence ("" where unknown). One in `reserve`
    is trained on only in place of another one of its subset that may not be. `form` names the form
    of its answer, one for all samples of a file. Where things are to be found, `findings` are
    those, `size` is the picture's width and height in pixels, and `options` the labels there can
    be; `label` then only serves the split.
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
    findings: tuple[Finding, ...] = ()
    size: tuple[int, ...] = ()
    reserve: bool = False
    form: str = CHOICE


def read_findings(rows: Iterable[Mapping[str, Any]]) -> tuple[Finding, ...]:
    """Return findings from rows of the columns `FINDINGS`."""
    return tuple(Finding(row["label"], tuple(row["box"]), row["mask"]) for row in rows)


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
            columns = {name: [getattr(each, name) for each in group] for name in SCHEMA.names}
            columns["findings"] = [list(map(asdict, found)) for found in columns["findings"]]
            writer.write_table(pa.table(columns, schema=SCHEMA))
            group = list(islice(rest, GROUP))


def read_samples(path: Path, pictures: bool = True) -> list[Sample]:
    """Return the samples of one file in their order, on wish without their pictures."""
    return samples_in(read_table(path, pictures))


def read_table(path: Path, pictures: bool = True) -> pa.Table:
    """Return the same as a table."""
    return pq.read_table(path, columns=[n for n in SCHEMA.names if pictures or n != "image"])


def form_in(table: pa.Table) -> str:
    """Return the name of the form of a table's samples."""
    told = json.loads((table.schema.metadata or {}).get(b"matcg", b"{}"))
    return str(told.get("form", CHOICE))


def samples_in(table: pa.Table) -> list[Sample]:
    """Return the samples of a table."""
    form = form_in(table)
    rows = [{"image": b"", **row, "form": form} for row in table.to_pylist()]
    for row in rows:
        row["options"] = tuple(row["options"])
        row["size"] = tuple(row["size"])
        row["findings"] = read_findings(row["findings"])
    return [Sample(**row) for row in rows]
