"""Reader of tables (CSV, Parquet) with a row a box or a mask.

Columns: `image`, `label`, and `x1, y1, x2, y2`, or `x, y, w, h`, or `runs`; a row whose cells are
empty says that its picture is there. `runs` are the run lengths of SIIM-ACR's competition: pixels
are counted down the columns, each start from the end of the run before, `-1` is no finding (data
page of kaggle.com/c/siim-acr-pneumothorax-segmentation, as the README of
github.com/prasadsawant5/kaggle-pneumothorax quotes it; the competition's mask_functions.py goes
through all y of an x). These are COCO's counts without the last one.
"""

import io
from collections.abc import Iterator, Mapping
from functools import partial

from matcg.config.finding_options import FindingOptions
from matcg.data.annotated import ANY, Picture, Raw, files_of
from matcg.data.image_folder import Folder
from matcg.data.readers import of_findings
from matcg.errors import BadRowError, DataError

_EDGES, _SIZES, _RUNS = ("x1", "y1", "x2", "y2"), ("x", "y", "w", "h"), ("runs",)


def pictures(folder: Folder, options: FindingOptions) -> Iterator[Picture]:
    """Yield the pictures of all tables; rows count from 1, without the header.

    Raises:
        DataError: a file is no table, or lacks a column.
    """
    for path in files_of(folder, options):
        rows = _rows(path, folder.read(path), options)
        how = next((h for h in (_EDGES, _SIZES, _RUNS) if set(h) <= rows[0].keys()), None)
        if how is None or "image" not in rows[0]:
            raise DataError(
                f"{path}: needs columns image, and x1, y1, x2, y2 or x, y, w, h or runs; has"
                f" {', '.join(rows[0])}; mend option 'columns'"
            )
        of_image: dict[str, list[tuple[int, Mapping[str, str]]]] = {}
        for number, row in enumerate(rows, start=1):
            of_image.setdefault(row["image"], []).append((number, row))
        column = options.split_by.column if options.split_by else ""
        for name, held in of_image.items():
            number, first = held[0]
            yield Picture(
                path,
                str(number),
                options.images.replace("{image}", name),
                tuple((str(n), partial(_finding, row, how)) for n, row in held),
                first.get(column, ""),
                first.get("group", ""),
            )


def _rows(path: str, data: bytes, options: FindingOptions) -> list[dict[str, str]]:
    """Return the cells of a table as texts, by our names of the columns."""
    import pandas as pd

    try:
        if path.endswith(".parquet"):
            table = pd.read_parquet(io.BytesIO(data))
        else:
            table = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: no table ({error}); replace the file") from None
    ours = {theirs: name for name, theirs in options.columns.items()}
    table.columns = [ours.get(name, name) for name in map(str.strip, map(str, table.columns))]
    if not len(table) or not table.columns.is_unique:
        raise DataError(f"{path}: has no rows, or a column twice; mend the file")
    columns = {
        name: ["" if pd.isna(cell) else str(cell).strip() for cell in table[name]]
        for name in table.columns
    }
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _finding(row: Mapping[str, str], how: tuple[str, ...]) -> list[Raw]:
    cells = [row[name] for name in how]
    if not any(cells) or cells == ["-1"]:
        return []
    if not all(cells):
        raise BadRowError(f"box incomplete: {', '.join(how)} are not all there")
    name = row.get("label", ANY)
    if how is _RUNS:
        return [Raw(name, mask={"counts": list(map(int, cells[0].split()))})]
    a, b, c, d = map(float, cells)
    return [Raw(name, (a, b, a + c, b + d) if how is _SIZES else (a, b, c, d))]


READER = of_findings(pictures)
