"""Readers of source files: one module a reader, found by its file in this folder.

Each holds `READER`. The rules look at it at every call, so it says where its work is done, and what
takes long to import stays there.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matcg import plugins
from matcg.config.catalog import Catalog, Split, SubsetSpec
from matcg.config.finding_options import FindingOptions
from matcg.errors import ConfigError

if TYPE_CHECKING:
    from matcg.data.annotated import Pictures
    from matcg.data.candidates import ImageCount, Source
    from matcg.data.scans import Named

    ImageCounts = tuple[ImageCount, ...]

_Options = Mapping[str, Any]


def _any_options(options: _Options) -> object:
    return options


@dataclass(frozen=True)
class Reader:
    """How the samples of a catalog's subsets are read.

    `read` and `count` are functions, or where they are, as `module:function`.

    Args:
        read: returns a `Source` for a subset, its options, the data folder (None where there is
            none) and the split with its caps.
        check: refuses wrong options with a ConfigError, before anything is run.
        count: returns of a subset, its options and the data folder how many pictures are there.
        named: returns of the same the folder of pictures, and source dataset and path of each file
            that they are to lie in, there or not; None where only files tell.
        folder: whether there is a data folder to read.
        world: whether it draws the phantom world, of which the report shows a contact sheet.
        threads, minutes: what preparing a subset takes.
    """

    read: "str | Callable[[SubsetSpec, _Options, Path | None, Split], Source]"
    check: Callable[[_Options], object] = _any_options
    count: "str | Callable[[SubsetSpec, _Options, Path | None], ImageCounts] | None" = None
    named: "str | Callable[[SubsetSpec, _Options, Path | None], Named] | None" = None
    folder: bool = True
    world: bool = False
    threads: int = 4
    minutes: int = 60

    def source(
        self, subset: SubsetSpec, options: _Options, root: Path | None, caps: Split
    ) -> "Source":
        """Return all that one subset's files hold.

        Raises:
            ConfigError: a wrong option.
            DataError: files are missing, or are not as this reader needs them.
        """
        found: Source = _function(self.read)(subset, options, root, caps)
        return found

    def images(self, subset: SubsetSpec, options: _Options, root: Path | None) -> "ImageCounts":
        """Return how many pictures of each source dataset are there.

        Raises:
            DataError: as `source`.
        """
        found: ImageCounts = _function(self.count)(subset, options, root)
        return found

    def names(self, subset: SubsetSpec, options: _Options, root: Path | None) -> "Named":
        """Return the folder of pictures, and source dataset and path of each file that is named.

        Raises:
            DataError: as `source`.
        """
        found: Named = _function(self.named)(subset, options, root)
        return found


def get(name: str) -> Reader:
    """Return a reader by name.

    Raises:
        ConfigError: no module is named like it; gives the nearest.
    """
    found: Reader = plugins.load_module(sys.modules[__name__], name, "reader").READER
    return found


def check(catalog: Catalog) -> None:
    """Raise ConfigError where a catalog's reader is none, or will not take a subset's options."""
    try:
        get(catalog.reader)
    except ConfigError as error:
        raise ConfigError(f"{catalog.where}: reader: {error}") from None
    for key in ("subsets", "general"):
        for position, subset in enumerate(getattr(catalog, key)):
            asked = catalog.preparation(subset.id)
            try:
                get(asked.reader).check(asked.all_options)
            except ConfigError as error:
                own = subset.options or subset.reader
                at = f"{key}[{position}] ('{subset.id}')" if own else "options"
                raise ConfigError(f"{catalog.where}: {at}: {error}") from None


def _function(given: Any) -> Callable[..., Any]:
    """Return a function that may be given by where it is."""
    if not isinstance(given, str):
        return given  # type: ignore[no-any-return]
    module, name = given.split(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def of_findings(pictures: "Pictures") -> Reader:
    """Return the reader of a format of boxes or masks, by what yields a file's pictures."""

    def read(*asked: Any) -> "Source":
        found: Source = _function("matcg.data.findings:read")(pictures, *asked)
        return found

    def count(*asked: Any) -> "ImageCounts":
        found: ImageCounts = _function("matcg.data.findings:count")(pictures, *asked)
        return found

    def named(*asked: Any) -> "Named":
        found: Named = _function("matcg.data.findings:named")(pictures, *asked)
        return found

    return Reader(read, check=FindingOptions.parse, count=count, named=named)
