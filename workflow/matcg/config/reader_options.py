"""Options of the reader of release files, as a catalog or a subset gives them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from matcg.errors import BadRowError, ConfigError, nearest

# The release changed its mind about dashes and about the folder.
FILES = (
    "Aggregated_Subsets/Subset--{id}-train.json",
    "Aggregated_Subsets/Subset-{id}-train.json",
    "Subset--{id}-train.json",
    "Subset-{id}-train.json",
)
MOST_OPTIONS = 26  # as many as there are letters


@dataclass(frozen=True)
class SplitBy:
    """Where a source's own split is told: by a text column, or by a pattern in the image path.

    `train` and `test` are the values that mean each side; a row with any other is set aside.
    """

    column: str = ""
    path: re.Pattern[str] | None = None
    train: frozenset[str] = frozenset({"train", "training"})
    test: frozenset[str] = frozenset({"test", "testing"})

    def is_test(self, value: str, image: str) -> bool:
        """Tell whether a row with this value or image path is tested on.

        Raises:
            BadRowError: it is of neither side.
        """
        if self.path is not None:
            value = searched(self.path, image)
        if value in self.test or value.casefold() in self.test:
            return True
        if value not in self.train and value.casefold() not in self.train:
            where = "the image path" if self.path else self.column
            raise BadRowError(f"split unknown: '{value}' in {where} is neither train nor test")
        return False


@dataclass(frozen=True)
class Rebuild:
    """How options are drawn anew: how many at most, and wordings that replace the rows' own."""

    options: int = 4
    instructions: tuple[str, ...] = ()
    seed: int = 42


@dataclass(frozen=True)
class Options:
    """Options of this reader, in a catalog or a subset.

    `files`: patterns of the JSON file relative to the data folder, the first that exists is read.
    `group_by`: regular expression searched in the image path; what its groups (or else the whole
    match) hold names the patient or sequence. `labels`: the label that an answer counts as. `only`:
    just the rows of these source datasets (`data-no`) are read, the others are another subset's.
    `split_by`: where the source's own split is told. `rebuild`: questions get new options.
    """

    files: tuple[str, ...] = FILES
    group_by: re.Pattern[str] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    only: frozenset[str] = frozenset()
    split_by: SplitBy | None = None
    rebuild: Rebuild | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the keys of a row that these options need besides the usual ones."""
        return (self.split_by.column,) if self.split_by and self.split_by.column else ()

    def groups(self, images: Iterable[str]) -> list[str] | None:
        """Return the patient or sequence of each image path, empty where it tells none."""
        if self.group_by is None:
            return None
        if self.group_by.groups != 1:
            return [searched(self.group_by, image) for image in images]
        # The usual case, for millions of rows, without what several groups need.
        matches = map(self.group_by.search, images)
        return [(match[1] or match[0]) if match else "" for match in matches]

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> "Options":
        """Return the checked options.

        Raises:
            ConfigError: an unknown option, or one of the wrong form.
        """
        _known(cls, raw, "option")
        return cls(
            files=_words(raw.get("files"), "files") or FILES,
            group_by=_pattern(raw.get("group_by"), "group_by"),
            labels=_labels(raw.get("labels")),
            only=frozenset(_words(raw.get("only"), "only")),
            split_by=_split_by(raw.get("split_by")),
            rebuild=_rebuild(raw.get("rebuild")),
        )


def searched(pattern: re.Pattern[str], text: str) -> str:
    """Return what a pattern's groups, or else its whole match, hold; empty without a match."""
    found = pattern.search(text)
    if found is None:
        return ""
    return "/".join(part or "" for part in found.groups()) or found[0]


def _known(kind: type[Any], raw: Any, what: str) -> None:
    """Raise ConfigError unless `raw` is a mapping whose keys are fields of a dataclass."""
    if not isinstance(raw, Mapping):
        raise ConfigError(f"reader medmat: {what} must be a mapping of keys to values")
    known = [each.name for each in fields(kind)]
    for key in raw:
        if key not in known:
            raise ConfigError(f"reader medmat: unknown {what} '{key}'.{nearest(key, known)}")


def _words(value: Any, name: str) -> tuple[str, ...]:
    listed = value if isinstance(value, list | tuple) else [value] if value else []
    if not all(isinstance(each, str | int) and not isinstance(each, bool) for each in listed):
        raise ConfigError(f"reader medmat: option {name} must be a text or a list of texts")
    return tuple(map(str, listed))


def _labels(raw: Any) -> dict[str, str]:
    pairs = raw or {}
    if not isinstance(pairs, Mapping) or not all(
        isinstance(part, str) and part.strip() for pair in pairs.items() for part in pair
    ):
        raise ConfigError("reader medmat: option labels must map texts to texts; quote them")
    return dict(pairs)


def _pattern(text: Any, name: str) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        return re.compile(text)
    except (re.error, TypeError) as error:
        raise ConfigError(
            f"reader medmat: option {name} '{text}' is no regular expression ({error}); mend it"
        ) from None


def _split_by(raw: Any) -> SplitBy | None:
    if raw is None:
        return None
    _known(SplitBy, raw, "key of option split_by:")
    column, path = raw.get("column", ""), _pattern(raw.get("path"), "split_by.path")
    if not isinstance(column, str) or bool(column) == (path is not None):
        raise ConfigError("reader medmat: option split_by needs `column` (a key) or `path`")
    sides = {
        side: frozenset(_words(raw[side], f"split_by.{side}"))
        for side in ("train", "test")
        if side in raw
    }
    found = SplitBy(column, path, **sides)
    if both := found.train & found.test:
        raise ConfigError(f"reader medmat: option split_by: '{min(both)}' is train and test")
    return found


def _rebuild(raw: Any) -> Rebuild | None:
    if raw is None:
        return None
    _known(Rebuild, raw, "key of option rebuild:")
    n, seed = raw.get("options", 4), raw.get("seed", 42)
    if type(n) is not int or not 2 <= n <= MOST_OPTIONS or type(seed) is not int or seed < 0:
        raise ConfigError(
            f"reader medmat: option rebuild: options must be 2 to {MOST_OPTIONS}, seed 0 or more"
        )
    return Rebuild(n, _words(raw.get("instructions"), "rebuild.instructions"), seed)
