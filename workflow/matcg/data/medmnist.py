"""MedMNIST's files as rows of questions: pictures and labels of three splits as arrays.

A file holds `SPLIT_images`, shape (n, size, size) or (n, size, size, 3), and `SPLIT_labels`, shape
(n, 1) or (n, labels), for `train`, `val` and `test`, all of uint8 (medmnist 3.0.2, dataset.py:
`npz_file[f"{self.split}_images"]`). Arrays are compressed, and rows are drawn in any order: so they
are put aside unpacked, in a file that ends with the process.
"""

import io
import math
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from matcg.config.medmnist_options import MedmnistOptions
from matcg.data.candidates import Quarantined
from matcg.data.finding_questions import Asked, asked_of
from matcg.data.image_folder import Folder
from matcg.data.label_names import LabelNames
from matcg.data.question_table import Pictures, QuestionTable, Row
from matcg.data.questions import QuestionReader
from matcg.errors import BadRowError, DataError, disk_errors

_CHUNK = 1 << 20
_Labels = npt.NDArray[np.uint8]


class _Arrays(Pictures):
    """The pictures of a file, by split and place: `train/17`."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, tuple[IO[bytes], tuple[int, ...]]] = {}

    def put_aside(self, split: str, array: IO[bytes], shape: tuple[int, ...]) -> None:
        """Keep the pictures of a split, whose array has this shape.

        Raises:
            ValueError: the array has fewer bytes.
        """
        file = tempfile.TemporaryFile()  # noqa: SIM115
        left = math.prod(shape)
        while left and (data := array.read(min(left, _CHUNK))):
            file.write(data)
            left -= len(data)
        if left:
            raise ValueError(f"{split}_images ends {left} bytes early")
        file.flush()
        self._kept[split] = file, shape[1:]

    def read(self, digest: str) -> bytes:
        """Return a picture as PNG; any thread may ask."""
        split, at = digest.split("/")
        file, shape = self._kept[split]
        size = math.prod(shape)
        data = os.pread(file.fileno(), size, int(at) * size)
        buffer = io.BytesIO()
        Image.fromarray(np.frombuffer(data, np.uint8).reshape(shape)).save(buffer, "PNG")
        return buffer.getvalue()


def read_arrays(
    folder: Folder, options: MedmnistOptions, subset: str, dataset: str, *, named: bool = False
) -> QuestionTable:
    """Return a row for each picture, or for each of its labels where there are several.

    Raises:
        DataError: no file, or one that is none of MedMNIST's.
        ResourceError: no room for the pictures.
    """
    name = options.file(subset)
    if reason := folder.reason(name):
        raise DataError(
            f"subset {subset}: {name} of {folder.root} is not read ({reason}); fetch it by"
            " `snakemake fetch_tables --config catalog=NAME`, or mend option 'size'"
        )
    arrays = _Arrays()
    table = QuestionTable((name,), by_finding=bool(options.question), pictures=arrays)
    labels = LabelNames(options.labels, table.labels)
    n_labels = len(options.names) if options.question else 1
    with _explained(name), zipfile.ZipFile(folder.find(name)) as file:
        for split in (*options.train, "test"):
            with file.open(f"{split}_images.npy") as stream:
                shape = _shape(stream, split, options)
                with file.open(f"{split}_labels.npy") as labelled:
                    numbers = _numbers(labelled, split, (shape[0], n_labels))
                if not named:
                    room = "TMPDIR names another folder for temporary files"
                    with disk_errors(Path(tempfile.gettempdir()), room):
                        arrays.put_aside(split, stream, shape)
            _add(table, labels, split, numbers, options, (name, subset, dataset))
    return table


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what a file that is none of MedMNIST's makes of its reader into one line."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, OSError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{name}: is no file of MedMNIST ({said}); fetch it again") from None


def _shape(stream: IO[bytes], split: str, options: MedmnistOptions) -> tuple[int, ...]:
    """Return the shape of an array of pictures, of which only the head is read.

    Raises:
        ValueError: its pictures are not as they are to be.
    """
    shape, by_columns, kind = _head(stream)
    side = (options.size, options.size)
    if kind != np.uint8 or by_columns or shape[1:] not in (side, (*side, 3)):
        raise ValueError(f"{split}_images are {kind} of shape {shape}, not of {side} bytes")
    return shape


def _numbers(stream: IO[bytes], split: str, wanted: tuple[int, int]) -> npt.NDArray[Any]:
    """Return an array of labels, of which no more is read than its pictures have.

    Raises:
        ValueError: they are of another shape, or no numbers.
    """
    shape, by_columns, kind = _head(stream)
    if shape != wanted or not np.issubdtype(kind, np.integer):
        raise ValueError(
            f"{split}_labels are {kind} of shape {shape}, not numbers of shape {wanted}"
        )
    size = math.prod(shape) * kind.itemsize
    data = stream.read(size)
    if len(data) < size:
        raise ValueError(f"{split}_labels ends {size - len(data)} bytes early")
    return np.frombuffer(data, kind).reshape(shape, order="F" if by_columns else "C")


def _head(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return an array's shape, whether it lies by columns, and what it is of."""
    version = np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]
    # The third version differs from the second in how names of fields are written: there are none.
    heads = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    return heads[version > (1, 0)](stream)  # type: ignore[no-untyped-call, no-any-return]


def _add(
    table: QuestionTable,
    labels: LabelNames,
    split: str,
    numbers: _Labels,
    options: MedmnistOptions,
    where: tuple[str, str, str],
) -> None:
    """Add the rows of a split; they are numbered from 1, pictures as in the file from 0."""
    file, subset, dataset = where
    stem = file.removesuffix(".npz")
    for at, given in enumerate(numbers.tolist()):
        image = f"{stem}/{split}/{at}.png"
        try:
            for asked in _asked(given, options):
                name = "-".join(filter(None, (subset, split, str(at), asked.finding)))
                place = file, at + 1, name, image, f"{split}/{at}"
                of = asked.question, asked.options, asked.place, labels.index(asked.label)
                table.rows.append(Row(*place, *of, dataset, "", split == "test", ()))
        except BadRowError as error:
            table.bad.append(Quarantined(file, str(at + 1), str(error), image))


def _asked(given: list[int], options: MedmnistOptions) -> list[Asked]:
    """Return what is asked of a picture with these labels, or refuse it."""
    most = 1 if options.question else len(options.names) - 1
    if not all(0 <= each <= most for each in given):
        raise BadRowError(f"label unknown: {given} is not in 0 to {most}")
    if not options.question:
        return [Asked("", (), 0, options.names[given[0]])]
    return [
        asked_of(options.question, name, bool(there))
        for name, there in zip(options.names, given, strict=True)
    ]


_READER = QuestionReader(MedmnistOptions, read_arrays)
read, count = _READER.read, _READER.count
