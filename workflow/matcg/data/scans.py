"""The pictures of a data folder, whatever their files are, and what results may call them.

Beside pictures there are files of several: frames of DICOM and slices of NIfTI. A path in a table
names one of these as `scan.nii.gz#12`, counted from 1, or an option says which are meant.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from matcg.config.scan_options import Parts, Slices
from matcg.data.image_folder import Folder
from matcg.data.pseudonyms import Pseudonyms
from matcg.errors import BadRowError
from matcg.images import ImageError, as_png, as_shown, dicom, nifti, size_shown
from matcg.images.windows import Samples, Window

# What pictures' names end in: such a file is looked at when it is drawn, and never for DICOM.
PICTURES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf"),
}
# A file that is called so is taken for DICOM, though it is not there: by its ending, or by a UID.
_CALLED = re.compile(r".*\.(dcm|dicom|dic|ima)|[\d]+(\.[\d]+){3,}", re.IGNORECASE)
# The folder of pictures, and source dataset and path of each file that is to be there.
Named = tuple[Folder, list[tuple[str, str]]]

_PART = re.compile(r"(.+)#(\d{1,9})")
_UNREADABLE = "image missing: no file at this path, or it may not be read"


def is_picture(path: str) -> bool:
    """Tell by its ending whether a path is that of a picture, for millions of rows."""
    return path[path.rfind(".") :].lower() in PICTURES


class _Options(Protocol):
    @property
    def frames(self) -> Parts | None: ...
    @property
    def slices(self) -> Slices | None: ...


@dataclass(frozen=True)
class _File:
    """What is known of a file: how many parts of which size, and what keeps them together."""

    parts: int
    size: tuple[int, int]
    group: str


class Scans:
    """The pictures below a folder, by their paths in a table."""

    def __init__(self, folder: Folder, options: _Options) -> None:
        self.folder = folder
        self.frames = options.frames or Parts()
        self.slices = options.slices or Slices()
        self.cut = nifti.Cut(self.slices.axis, self.slices.orientation == "stored")
        self.names = Pseudonyms(folder.root)
        self._looked: dict[str, str | Sequence[str]] = {}
        self._kinds: dict[str, str] = {}
        self._files: dict[str, _File] = {}
        self._windows: dict[str, Window] = {}

    def split(self, path: str) -> tuple[str, int | None]:
        """Return the path of a file and the number of a part, None where none is named."""
        found = _PART.fullmatch(path) if "#" in path else None
        if found is None or not self.folder.reason(path):
            return path, None
        return found[1], int(found[2])

    def kind(self, path: str) -> str:
        """Return `dicom`, `nifti` or nothing, for a picture."""
        if is_picture(path):
            return ""
        base, _ = self.split(path)
        if base not in self._kinds:
            self._kinds[base] = self._kind(base)
        return self._kinds[base]

    def _kind(self, base: str) -> str:
        if nifti.is_volume(base):
            return "nifti"
        if is_picture(base):
            return ""
        try:
            with self.folder.find(base).open("rb") as file:
                return "dicom" if dicom.is_dicom(file.read(dicom.HEAD)) else ""
        except (BadRowError, OSError):
            return ""

    def hidden(self, path: str) -> bool:
        """Tell whether results must not show a path, since hospitals put names into it."""
        if is_picture(path):
            return False
        base, _ = self.split(path)
        called = _CALLED.fullmatch(base.rpartition("/")[2]) is not None
        return called or self.kind(path) == "dicom"

    def shown(self, path: str) -> str:
        """Return what results call a picture: its path, or a keyed hash of it."""
        if not self.hidden(path):
            return path
        base, number = self.split(path)
        name = f"dicom-{self.names.of('file', base)}"
        return name if number is None else f"{name}#{number}"

    def reason(self, path: str, reason: str) -> str:
        """Return why a picture cannot be used, without what it quotes of a path."""
        quotes = reason.startswith("split unknown") and self.hidden(path)
        return "split unknown: it is neither train nor test" if quotes else reason

    def group(self, path: str, given: str = "") -> str:
        """Return what must stay on one side of a split: what is given, else patient or volume."""
        if self.hidden(path) and given:
            return f"group-{self.names.of('group', given)}"
        base, _ = self.split(path)
        return given or (self._told(base).group if self.kind(path) else "")

    def pictures(self, path: str) -> Sequence[str]:
        """Return the paths of the pictures that a path stands for, each with its part's number.

        Raises:
            BadRowError: there is no such file, it is damaged, or it is not said which are meant.
        """
        if is_picture(path):
            if reason := self.folder.reason(path):
                raise BadRowError(reason)
            return (path,)
        base, number = self.split(path)
        if reason := self.folder.reason(base):
            raise BadRowError(_UNREADABLE if self._leaks(base, reason) else reason)
        kind = self.kind(path)
        if not kind:
            if number is not None:
                raise BadRowError("image has no parts: '#' stands after DICOM and NIfTI only")
            return (path,)
        told = self._told(base)
        if number is not None:
            return (path,) if _there(kind, number, told.parts) else ()
        rule = self.frames if kind == "dicom" else self.slices
        if kind == "dicom" and told.parts == 1 and not rule.said:
            return (path,)
        return [f"{base}#{each}" for each in _chosen(kind, rule, told.parts)]

    def looked_at(self, path: str) -> str | Sequence[str]:
        """Return the pictures that a path stands for, or why there are none; looked up once."""
        found = self._looked.get(path)
        if found is None:
            try:
                found = self.pictures(path)
            except BadRowError as error:
                found = str(error)
            self._looked[path] = found
        return found

    def files(self, named: Iterable[tuple[str, str]]) -> Named:
        """Return the folder, and without parts and repetition the paths of source datasets."""
        paths = ((dataset, self.split(path)[0]) for dataset, path in named)
        return self.folder, list(dict.fromkeys(paths))

    def lacks(self, path: str) -> str:
        """Return why the file of a picture is not there, empty where it is."""
        return self.folder.reason(self.split(path)[0])

    def _leaks(self, base: str, reason: str) -> bool:
        """Tell whether the system's own words on a file, which hold its path, must not be shown."""
        return reason.startswith("image missing") and self.hidden(base)

    def read(self, path: str, window: Window | None) -> bytes:
        """Return a picture as a file of 8 bits.

        Raises:
            BadRowError, ImageError: it cannot be used.
        """
        kind, where = self.kind(path), self.shown(path)
        base, number = self.split(path)
        if not kind:
            return as_shown(self.folder.read(base), where, window)
        return as_png(self._samples(kind, base, number or 1, where, window))

    def _samples(
        self, kind: str, base: str, number: int, where: str, window: Window | None
    ) -> Samples:
        if kind == "dicom":
            try:
                data = self.folder.read(base)
            except BadRowError as error:
                raise BadRowError(_UNREADABLE if self._leaks(base, str(error)) else error) from None
            return dicom.read_frame(data, number, where, window)
        known = window or self._windows.get(base)
        found = nifti.read_slice(self.folder.find(base), number, self.cut, where, known)
        if window is None and found.full:
            # Another slice need not look for it through the whole volume.
            self._windows[base] = found.full
        return found

    def parts(self, path: str) -> int:
        """Return how many frames or slices a file has, by its path without a number.

        Raises:
            BadRowError: it is damaged, or of a kind that is not read.
        """
        return self._told(path).parts

    def size(self, path: str) -> tuple[int, int]:
        """Return width and height of a picture as it is displayed.

        Raises:
            BadRowError, ImageError: it cannot be used.
        """
        base, _ = self.split(path)
        if self.kind(path):
            return self._told(base).size
        return size_shown(self.folder.find(base), self.shown(path))

    def _told(self, base: str) -> _File:
        """Return what a file's header says, which is read once.

        Raises:
            BadRowError: it is damaged, or of a kind that is not read.
        """
        if base not in self._files:
            read = self._told_by_dicom if self.kind(base) == "dicom" else self._told_by_nifti
            self._files[base] = _explained(lambda: read(base))
        return self._files[base]

    def _told_by_dicom(self, base: str) -> _File:
        told = dicom.read_header(self.folder.find(base), self.shown(base))
        known = ("patient", told.patient) if told.patient else ("file", base)
        return _File(told.frames, (told.columns, told.rows), f"{known[0]}-{self.names.of(*known)}")

    def _told_by_nifti(self, base: str) -> _File:
        slices, width, height = nifti.count_slices(self.folder.find(base), self.cut, base)
        return _File(slices, (width, height), base)


def _explained(look: Callable[[], _File]) -> _File:
    try:
        return look()
    except ImageError as error:
        raise BadRowError(f"{error.kind}: {error.detail}") from None
    except OSError:
        raise BadRowError(_UNREADABLE) from None


def _there(kind: str, number: int, parts: int) -> bool:
    what = "frame" if kind == "dicom" else "slice"
    if not 1 <= number <= parts:
        raise BadRowError(f"{what} missing: number {number}; the file has {parts}, from 1")
    return True


def _chosen(kind: str, rule: Parts, parts: int) -> Sequence[int]:
    """Return the numbers of a file's parts by a rule."""
    what = "frame" if kind == "dicom" else "slice"
    if rule.at == "middle":
        return [(parts + 1) // 2]
    if rule.at:
        return [number for number in rule.at if _there(kind, number, parts)]
    if rule.every is None:
        if parts == 1:
            return [1]
        raise BadRowError(
            f"several {what}s: the file has {parts}; name one after '#', or say which in option"
            f" '{what}s'"
        )
    found = range(rule.every, parts + 1, rule.every)
    if not found:
        raise BadRowError(f"{what} missing: number {rule.every}; the file has {parts}, from 1")
    return found
