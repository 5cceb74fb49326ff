"""Figures that a paper prints for an experiment, read from a CSV file beside it."""

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from matcg.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class Printed:
    """One printed number: an arm's accuracy in percent, or its difference from the arm `minus`.

    An empty `label` or `rule` fits every combination of the target. `questions` is the size of the
    paper's test set, where it is known.
    """

    label: str
    target: str
    rule: str
    arm: str
    minus: str
    value: float
    questions: int | None = None


def read_published(
    path: Path, shown: str, arms: Collection[str], targets: Collection[str]
) -> tuple[Printed, ...]:
    """Return the rows of a file; `shown` names it in errors.

    Raises:
        ConfigError: no such file, other columns, an unknown arm or target, or no number.
    """
    names = [field.name for field in fields(Printed)]
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error):
        raise ConfigError(f"{shown}: cannot be read; mend `published:`") from None
    if reader.fieldnames != names:
        raise ConfigError(f"{shown}: columns must be {','.join(names)}")
    return tuple(
        _printed(row, f"{shown}, line {line}", arms, targets) for line, row in enumerate(rows, 2)
    )


def _printed(
    row: Mapping[str, str], where: str, arms: Collection[str], targets: Collection[str]
) -> Printed:
    if None in row or None in row.values():
        raise ConfigError(f"{where}: has not {len(fields(Printed))} cells")
    checks = (("arm", row["arm"], arms), ("target", row["target"], targets))
    for name, value, valid in (*checks, ("minus", row["minus"] or row["arm"], arms)):
        if value not in valid:
            raise ConfigError(f"{where}: {name}: no such {name} '{value}'.{nearest(value, valid)}")
    numbers = {
        "value": _number(row, "value", float, where),
        "questions": _number(row, "questions", int, where) if row["questions"] else None,
    }
    return Printed(**{**row, **numbers})  # type: ignore[arg-type]


def _number(row: Mapping[str, str], name: str, kind: type[float], where: str) -> float:
    try:
        return kind(row[name])
    except ValueError:
        raise ConfigError(f"{where}: {name}: '{row[name]}' is no number") from None
