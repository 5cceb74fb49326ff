"""Rows of a JSON file of any size, in bounded memory: a list, or in a .jsonl file one a line.

The file is read in blocks that are cut between two rows. A cut is a guess, since the same bytes may
stand within a text; that both sides are valid JSON proves it right. Good rows become `ReleaseRow`s
without further ado, anything else is handed over as it is, for the caller to say what is wrong.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from matcg.errors import DataError

BLOCK = 1 << 20
# A longer row is no row of a table; without a bound a broken file would be held in memory whole.
MAX_ROW = 16 * BLOCK
_BETWEEN = re.compile(rb"\}\s*,\s*(?=\{)")
_BLANK = b" \t\r\n"
_MARK = b"\xef\xbb\xbf"  # of byte order; some editors put it first


class ReleaseRow(msgspec.Struct, gc=False, kw_only=True):
    """The keys of a row of the release that are used, each with a value of the right type."""

    id: int | str
    image: str
    question: str = msgspec.field(name="Question")
    answer: str = msgspec.field(name="Answer")
    choices: str = msgspec.field(name="Question-choice", default="")
    letter: str = msgspec.field(name="Answer-choice", default="")
    dataset: int | str = msgspec.field(name="data-no")


def row_type(columns: Sequence[str]) -> type[Any]:
    """Return the type of rows that also have these text columns, as `extra_0`, `extra_1` ..."""
    if not columns:
        return ReleaseRow
    extra: list[tuple[str, type, Any]] = [
        (f"extra_{at}", str, msgspec.field(name=name)) for at, name in enumerate(columns)
    ]
    return msgspec.defstruct("ExtraRow", extra, bases=(ReleaseRow,), gc=False, kw_only=True)


def read_json_rows(path: Path, name: str, kind: type[Any] = ReleaseRow) -> Iterator[list[Any]]:
    """Yield the rows of a file, some at a time; `name` stands for the file in errors.

    Raises:
        DataError: the file is no JSON list of rows. In a file of lines a bad line is a bad row.
    """
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list.__class_getitem__(kind))
    with path.open("rb") as file:
        first = file.read(len(_MARK)).removeprefix(_MARK).lstrip(_BLANK)
        while not first and (block := file.read(BLOCK)):
            first = block.lstrip(_BLANK)
        if path.suffix == ".jsonl":
            yield from _lines(first, file, kind)
        else:
            yield from _list(first, file, decoder, name)


def _list(
    text: bytes, file: BinaryIO, decoder: "msgspec.json.Decoder[Any]", name: str
) -> Iterator[list[Any]]:
    """Yield the rows of a JSON list that begins with `text`."""
    if not text.startswith(b"["):
        _parse(text + file.read(), decoder, name)
        raise DataError(f"{name}: holds no JSON list of rows; fetch the file again")
    text = text[1:]
    while block := file.read(BLOCK):
        text += block
        cut = _last_cut(text)
        if cut:
            try:
                rows = _decode(b"[" + text[: cut[0]] + b"]", decoder)
            except (ValueError, RecursionError):
                rows = []
            if rows:
                text = text[cut[1] :]
                yield rows
        if len(text) > MAX_ROW:
            _parse(b"[" + text[:MAX_ROW], decoder, name)
    yield _parse(b"[" + text, decoder, name)


def _last_cut(text: bytes) -> tuple[int, int] | None:
    """Return where the last row but one of `text` seems to end, and where the last one begins."""
    end = len(text)
    while (end := text.rfind(b"}", 0, end)) >= 0:
        if found := _BETWEEN.match(text, end):
            return end + 1, found.end()
    return None


def _decode(text: bytes, decoder: "msgspec.json.Decoder[Any]") -> Any:
    """Return a JSON value, as the decoder's type or, where it is not of it, as plain objects.

    Raises:
        ValueError, RecursionError: no JSON.
    """
    try:
        return decoder.decode(text)
    except msgspec.MsgspecError:
        # The standard library also reads half characters and NaN, which cost but their row.
        return json.loads(text)


def _parse(text: bytes, decoder: "msgspec.json.Decoder[Any]", name: str) -> Any:
    """Return the value of a whole text, or say what is wrong with the file."""
    try:
        return _decode(text, decoder)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: is not valid JSON ({error}); fetch the file again") from None


def _lines(text: bytes, file: BinaryIO, kind: type[Any]) -> Iterator[list[Any]]:
    """Yield the rows of a file of JSON lines that begins with `text`; blank lines are none."""
    decoder = msgspec.json.Decoder(kind)
    while text:
        text += file.readline()
        yield [_line(line, decoder) for line in text.splitlines() if line.strip(_BLANK)]
        text = file.read(BLOCK)


def _line(line: bytes, decoder: "msgspec.json.Decoder[Any]") -> Any:
    try:
        return _decode(line, decoder)
    except (ValueError, RecursionError) as error:
        return ValueError(f"not JSON: {error}")
