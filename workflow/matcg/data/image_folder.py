"""A folder of images that untrusted tables point into: what is there, and nothing outside it."""

import os
import stat
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath

from matcg.errors import BadRowError

# A file is read whole before its header tells its size in pixels.
MAX_BYTES = 512 * 2**20


class Folder:
    """The files below a folder, by their paths in a table.

    Millions of rows may ask: each directory is listed once, and only what is no plain file in it is
    looked at one by one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._root = f"{self.root}/".replace("//", "/")
        self._listed: dict[str, frozenset[str]] = {}
        self._made: set[str] = set()

    def reason(self, path: str) -> str:
        """Return why no file at `path` can be used, empty where there is one in the folder."""
        place, name = _parts(path)
        if place not in self._listed:
            self._listed[place] = self._list(place)
        if name in self._listed[place]:
            return ""
        try:
            self.find(path)
        except BadRowError as error:
            return str(error)
        return ""

    def _list(self, place: str) -> frozenset[str]:
        """Return the names of plain files in a directory inside the folder."""
        try:
            inside = (self.root / place).resolve()
            if not _plain(place) or not inside.is_relative_to(self.root):
                return frozenset()
            with os.scandir(inside) as entries:
                return frozenset(e.name for e in entries if e.is_file(follow_symlinks=False))
        except (OSError, ValueError, RuntimeError):
            return frozenset()

    def find(self, path: str) -> Path:
        """Return the file at `path`, links followed, or raise BadRowError."""
        place, name = _parts(path)
        # Following links is a fifth of what a small picture takes.
        if name in self._listed.get(place, ()) and _is_plain_file(self.root / path):
            return self.root / path
        if PurePosixPath(path).is_absolute() or PureWindowsPath(path).drive:
            raise BadRowError("image outside its data folder: the path is absolute")
        if not _plain(path):
            raise BadRowError("image outside its data folder: the path climbs with '..'")
        try:
            found = (self.root / path).resolve()
            if not found.is_relative_to(self.root):
                raise BadRowError("image outside its data folder: a link leads out")
            # A pipe or a device would block or never end.
            if not found.is_file():
                raise BadRowError("image missing: no file at this path")
        except (OSError, ValueError, RuntimeError) as error:
            raise BadRowError(f"image missing: {error}") from None
        return found

    def room(self, path: str) -> Path:
        """Return where a new file at `path` goes, its folder made, or raise BadRowError."""
        place = path.rpartition("/")[0]
        if place not in self._made:
            folder = (self.root / place).resolve()
            if not _plain(path) or not folder.is_relative_to(self.root):
                raise BadRowError("image outside its data folder: a link leads out")
            folder.mkdir(parents=True, exist_ok=True)
            self._made.add(place)
        return self.root / path

    def read(self, path: str) -> bytes:
        """Return the bytes of the file at `path`, or raise BadRowError."""
        place, name = _parts(path)
        if name in self._listed.get(place, ()):
            with suppress(OSError):
                # What is a link or a pipe by now is refused, or looked at as such below.
                return _contents(f"{self._root}{path}", os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return _contents(self.find(path))
        except OSError as error:
            raise BadRowError(f"image missing: {error}") from None


def _contents(path: str | Path, flags: int = 0) -> bytes:
    """Return the bytes of a plain file; calls of the system are much of what a small one takes."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError("no plain file")
        if found.st_size > MAX_BYTES:
            raise BadRowError(f"image too large: the file exceeds {MAX_BYTES} bytes")
        data = os.read(handle, found.st_size)
        if len(data) < found.st_size:  # on a network's disk, or where it is being written
            raise OSError("read in part")
        return data
    finally:
        os.close(handle)


def _parts(path: str) -> tuple[str, str]:
    """Return directory and name; "/" is not the folder itself."""
    place, slash, name = path.rpartition("/")
    return place + slash, name


def _is_plain_file(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISREG(os.lstat(path).st_mode)
    return False


def _plain(path: str) -> bool:
    return ".." not in PurePosixPath(path).parts and not PurePosixPath(path).is_absolute()
