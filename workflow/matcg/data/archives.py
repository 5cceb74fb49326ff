"""Archives of strangers, unpacked so that nothing in them can do harm.

A member is refused that leads out of its folder, is a link, comes twice, or would fill the disk,
and its archive with it, since one such member says enough of the rest.
"""

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from matcg.errors import DataError, disk_errors

UNPACKED = ".unpacked"  # the folder of x.zip is x.zip.unpacked, beside it
MEMBERS = 1_000_000
RATIO = 200  # of what is unpacked to what is packed; deflate ends at 1,032
SMALL = 2**30  # bytes that every archive may come to: masks and tables pack well
DEPTH = 3  # of archives within archives

_TARS: dict[str, Callable[..., Any]] = {
    ".tar": open, ".tgz": gzip.open, ".tar.gz": gzip.open, ".tbz2": bz2.open,
    ".tar.bz2": bz2.open, ".txz": lzma.open, ".tar.xz": lzma.open,
}  # fmt: skip
# What the standard library does not read: Zstandard from Python 3.14 on only.
_FOREIGN = (".rar", ".7z", ".tar.zst", ".tzst")
_CHUNK = 2**20
_HEADER = 2**24  # bytes that tarfile reads at once, into memory
_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, RuntimeError,
    ValueError, struct.error, OverflowError,
)  # fmt: skip


@dataclass
class Room:
    """What an archive, with those inside it, may still come to."""

    n_bytes: int
    members: int = MEMBERS


@dataclass(frozen=True)
class _Member:
    """A member of an archive; `fault` says why it must not be unpacked."""

    name: str
    size: int
    folder: bool
    fault: str
    open: Callable[[], IO[bytes]]


class _RefusedError(Exception):
    """Why an archive is not unpacked; becomes the end of a DataError."""


def unpack_below(folder: Path, say: Callable[[str], object] = print) -> list[str]:
    """Unpack every archive below a folder beside itself, and return what was refused, a line each.

    What was unpacked earlier stays. Archives within archives count against what the outermost may
    come to. Links to folders are not followed.

    Raises:
        ResourceError: the disk is full.
    """
    refused: list[str] = []
    for archive in _archives(folder):
        room = Room(_allowed(archive))
        _unpack_deep(archive, room, DEPTH, say, refused)
    return refused


def _unpack_deep(
    archive: Path, room: Room, depth: int, say: Callable[[str], object], refused: list[str]
) -> None:
    into = archive.with_name(archive.name + UNPACKED)
    if not into.is_dir():
        try:
            if not depth:
                raise DataError(f"{archive}: refused: more than {DEPTH} archives within each other")
            unpack(archive, into, room)
        except DataError as error:
            say(str(error))
            refused.append(str(error))
            return
        say(f"{archive}: unpacked")
    for inner in _archives(into):
        _unpack_deep(inner, room, depth - 1, say, refused)


def _archives(folder: Path) -> list[Path]:
    """Return what is called like an archive, but for what lies in one that was unpacked."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.endswith((UNPACKED, f"{UNPACKED}.part"))]
        found += [Path(place, name) for name in names if ending(name)]
    return sorted(path for path in found if path.is_file())


def ending(name: str) -> str:
    """Return the longest ending that is an archive's, empty where there is none."""
    fits = [end for end in (".zip", *_TARS, *_FOREIGN) if name.lower().endswith(end)]
    return max(fits, key=len, default="")


def _allowed(archive: Path) -> int:
    """Return how many bytes an archive may come to: by its own size, and at most the disk's."""
    free = shutil.disk_usage(archive.parent).free
    return min(max(SMALL, RATIO * archive.stat().st_size), free)


def unpack(archive: Path, into: Path, room: Room) -> None:
    """Write the files of an archive into the new folder `into`: all of them, or none.

    Dates, owners and permissions are not kept. `room` is reduced by what was unpacked.

    Raises:
        DataError: a member is refused, or the archive is damaged, cut, encrypted, or none.
        ResourceError: the disk is full.
    """
    draft = into.with_name(f"{into.name}.part")
    shutil.rmtree(draft, ignore_errors=True)  # of a call that was killed
    try:
        with _explained(archive), disk_errors(draft.parent, "Make room and call again."):
            draft.mkdir()
            for member in _members(archive):
                _write(member, draft, room)
            draft.rename(into)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _explained(archive: Path) -> Iterator[None]:
    """Turn what is wrong with an archive into one line with its name."""
    try:
        yield
    except _RefusedError as error:
        advice = f"if you trust it, unpack it by hand into {archive.name}{UNPACKED} beside it"
        raise DataError(f"{archive}: refused: {error}; {advice}") from None
    except (*_DAMAGED, OSError) as error:
        # The decompressors' own have no number.
        if getattr(error, "errno", None) is not None:
            raise DataError(f"{archive}: {error}") from None
        what = "a web page, no archive; log in and get it again" if _is_page(archive) else error
        raise DataError(f"{archive}: damaged or cut: {what or type(error).__name__}") from None


def _is_page(archive: Path) -> bool:
    with archive.open("rb") as file:
        return is_page(file.read(512))


def is_page(head: bytes) -> bool:
    """Tell by its first bytes whether a file is a web page, as servers send in place of others."""
    return (
        head.removeprefix(b"\xef\xbb\xbf")
        .lstrip()[:14]
        .lower()
        .startswith((b"<!doctype html", b"<html", b"<head"))
    )


def _members(archive: Path) -> Iterator[_Member]:
    end = ending(archive.name)
    if end in _FOREIGN:
        raise _RefusedError(f"{end} is not read")
    return _in_zip(archive) if end == ".zip" else _in_tar(archive, end)


def _write(member: _Member, draft: Path, room: Room) -> None:
    """Write one member below a folder.

    Raises:
        _RefusedError: it must not be written, or is not what it declares.
    """
    what = ascii(member.name)
    path = _checked(member.name)
    if member.fault:
        raise _RefusedError(f"{what}: {member.fault}")
    room.members -= 1
    room.n_bytes -= member.size
    if room.members < 0 or room.n_bytes < 0:
        most = "members" if room.members < 0 else "bytes for its size or for the disk"
        raise _RefusedError(f"{what}: too many {most}")
    if member.folder:
        return
    try:
        place = draft / path
        place.parent.mkdir(parents=True, exist_ok=True)
        target = place.open("xb")
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise _RefusedError(f"{what}: another member has this name on this disk") from None
    with target, member.open() as source:
        _copy(source, target, member)


def _copy(source: IO[bytes], target: IO[bytes], member: _Member) -> None:
    left = member.size
    while data := source.read(_CHUNK):
        left -= len(data)
        if left < 0:
            break
        target.write(data)
    if left:
        raise _RefusedError(f"{member.name!a}: its size is not the one that it declares")


def _checked(name: str) -> str:
    """Return a member's path below the folder that it is unpacked into.

    Old archivers of Windows write `\\` between folders.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    what = ascii(name)
    if path.is_absolute() or PureWindowsPath(name).drive:
        raise _RefusedError(f"{what}: its path is absolute")
    if ".." in path.parts:
        raise _RefusedError(f"{what}: its path climbs with '..'")
    if "\0" in name or any(len(os.fsencode(part)) > 255 for part in path.parts):
        raise _RefusedError(f"{what[:80]}: its name is none that a disk takes")
    return str(path)


def _in_zip(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            fault = ""
            if info.flag_bits & 1:
                fault = "encrypted"
            elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                fault = "a link or device"
            # Others are unpacked in memory, to thousands of times their size.
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                fault = "packed in a way that is not read"
            folder = info.is_dir() or info.filename.endswith("\\")
            opened = partial(file.open, info)
            yield _Member(info.filename, info.file_size, folder, fault, opened)


def _in_tar(archive: Path, end: str) -> Iterator[_Member]:
    with _TARS[end](archive, "rb") as unpacked:
        stream = _Stream(unpacked, _allowed(archive))
        with tarfile.open(fileobj=stream, mode="r:") as file:
            for info in file:
                plain = info.isreg() and not info.issparse()
                fault = "" if plain or info.isdir() else "a link, a device or a file with holes"
                size = info.size if plain else 0
                yield _Member(info.name, size, info.isdir(), fault, partial(_of_tar, file, info))
        # tarfile takes a header that is cut or damaged for the end.
        if stream.last != bytes(tarfile.BLOCKSIZE):
            raise EOFError("it ends before its end is marked")
        # To the last byte, behind which the checksum of what was compressed stands.
        while unpacked.tell() <= stream.allowed and unpacked.read(_CHUNK):
            pass


def _of_tar(file: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    found = file.extractfile(info)
    assert found is not None, "only plain files are opened"
    return found


class _Stream(io.RawIOBase):
    """What a tar is unpacked from, bounded: headers too may be made to fill memory."""

    def __init__(self, stream: IO[bytes], allowed: int) -> None:
        super().__init__()
        self.stream, self.allowed, self.last = stream, allowed, b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER:
            raise _RefusedError(f"a header of {size} bytes")
        self.last = self.stream.read(size)
        return self.last

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if offset > self.allowed + _HEADER:
            raise _RefusedError("too many bytes for its size or for the disk")
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()
