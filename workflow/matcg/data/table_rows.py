"""Rows of a table of anybody's columns: JSON, JSON lines, CSV, TSV or Parquet, some at a time."""

import csv
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from matcg.data.json_rows import read_json_rows
from matcg.errors import DataError, nearest

AT_ONCE = 4096
PICTURES_AT_ONCE = 64  # a row of Parquet may hold a photograph
_Rows = Iterator[list[Any]]


def read_rows(path: Path, name: str, needed: Collection[str], wanted: Collection[str]) -> _Rows:
    """Yield the rows of a table as dictionaries, or as the ValueError that one of them is.

    `name` stands for the file in errors. Of `wanted` a table may lack any, and needs all of
    `needed`; in JSON each row has keys of its own, so there nothing is looked for.

    Raises:
        DataError: no table of this kind, a column that is needed is not there, or one stands twice.
    """
    kind = path.suffix.lower()
    if kind not in _KINDS:
        raise DataError(f"{name}: is no {', '.join(_KINDS)} file; mend option 'files'")
    return _KINDS[kind](path, name, needed, wanted)


def _json(path: Path, name: str, needed: Collection[str], wanted: Collection[str]) -> _Rows:
    del needed, wanted
    return read_json_rows(path, name, object)


def _separated(mark: str) -> Callable[..., _Rows]:
    """Return what reads a table whose cells stand between marks."""

    def read(path: Path, name: str, needed: Collection[str], wanted: Collection[str]) -> _Rows:
        del wanted
        lines = None
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                # Strict: a quote that nothing closes would take all the rest for one cell.
                lines = csv.reader(file, delimiter=mark, strict=True)
                header = [cell.strip() for cell in next(lines, [])]
                _require(header, needed, name)
                while batch := list(islice(lines, AT_ONCE)):
                    yield [_record(header, cells) for cells in batch if cells]
        except (csv.Error, UnicodeDecodeError) as error:
            line = f", line {lines.line_num}" if lines else ""
            raise DataError(f"{name}{line}: is no table in UTF-8 ({error}); mend it") from None

    return read


def _record(header: list[str], cells: list[str]) -> Any:
    if len(cells) != len(header):
        return ValueError(f"not a row: {len(cells)} cells under {len(header)} columns")
    return dict(zip(header, cells, strict=True))


def _parquet(path: Path, name: str, needed: Collection[str], wanted: Collection[str]) -> _Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            header = file.schema_arrow.names
            _require(header, needed, name)
            columns = [column for column in header if column in {*needed, *wanted}]
            binary = any(_holds_bytes(file.schema_arrow.field(column).type) for column in columns)
            size = PICTURES_AT_ONCE if binary else AT_ONCE
            for batch in file.iter_batches(batch_size=size, columns=columns):
                yield batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise DataError(f"{name}: is no Parquet file that can be read ({said})") from None


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(_holds_bytes(kind.field(at).type) for at in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _require(header: list[str], needed: Collection[str], name: str) -> None:
    """Raise DataError where a table lacks a column, or has one twice."""
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DataError(f"{name}: column '{twice[0]}' stands twice; rename one")
    for column in needed:
        if column not in header:
            raise DataError(
                f"{name}: has no column '{column}'; mend the catalog's options."
                f"{nearest(column, header)}"
            )


_KINDS: dict[str, Callable[..., _Rows]] = {
    ".json": _json,
    ".jsonl": _json,
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".parquet": _parquet,
}
