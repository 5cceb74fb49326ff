"""Figures that a paper prints for an experiment, read from a CSV file beside it."""

import csv
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from matcg.config.arm import BASELINE, CG, CONTROL
from matcg.errors import ConfigError, nearest

Place = tuple[str, str, str]

# Columns that a file may leave out.
OPTIONAL = ("sd", "condition")
_OTHERS = (BASELINE, CONTROL)


@dataclass(frozen=True, slots=True)
class Printed:
    """One printed number: an arm's accuracy in percent, or its difference from the arm `minus`.

    An empty `label` or `rule` fits every combination of the target. `questions` is the size of the
    paper's test set, where it is known, `sd` the standard deviation that is printed beside the
    number. A `condition` says what else was done in the paper (examples in the prompt): such a
    number counts for no tick and no agreement, and stands beside ours where the layout knows how
    to do the same.
    """

    label: str
    target: str
    rule: str
    arm: str
    minus: str
    value: float
    questions: int | None = None
    sd: float | None = None
    condition: str = ""

    @property
    def name(self) -> str:
        """Return the arm, or the difference of arms, in one word."""
        return f"{self.arm}-minus-{self.minus}" if self.minus else self.arm


def read_published(
    path: Path, shown: str, arms: Collection[str], targets: Collection[str]
) -> tuple[Printed, ...]:
    """Return the rows of a file; `shown` names it in errors.

    Raises:
        ConfigError: no such file, other columns, an unknown arm or target, or no number.
    """
    names = [field.name for field in fields(Printed) if field.name not in OPTIONAL]
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error):
        raise ConfigError(f"{shown}: cannot be read; mend `published:`") from None
    found = list(reader.fieldnames or ())
    if found != [*names, *(name for name in OPTIONAL if name in found)]:
        raise ConfigError(
            f"{shown}: columns must be {','.join(names)}, and may go on with {','.join(OPTIONAL)}"
        )
    return tuple(
        _printed(row, f"{shown}, line {line}", arms, targets) for line, row in enumerate(rows, 2)
    )


def _printed(
    row: Mapping[str, str], where: str, arms: Collection[str], targets: Collection[str]
) -> Printed:
    if None in row or None in row.values():
        raise ConfigError(f"{where}: has not {len(set(row) - {None})} cells")
    checks = (("arm", row["arm"], arms), ("target", row["target"], targets))
    for name, value, valid in (*checks, ("minus", row["minus"] or row["arm"], arms)):
        if value not in valid:
            raise ConfigError(f"{where}: {name}: no such {name} '{value}'.{nearest(value, valid)}")
    numbers = {
        "value": _number(row, "value", float, where),
        "questions": _number(row, "questions", int, where) if row["questions"] else None,
        "sd": _number(row, "sd", float, where) if row.get("sd") else None,
    }
    return Printed(**{**row, **numbers})  # type: ignore[arg-type]


def _number(row: Mapping[str, str], name: str, kind: type[float], where: str) -> float:
    try:
        return kind(row[name])
    except ValueError:
        raise ConfigError(f"{where}: {name}: '{row[name]}' is no number") from None


def by_place(printed: Iterable[Printed]) -> dict[Place, dict[str, float]]:
    """Return what is printed of each label, target and rule, as fractions by `Printed.name`.

    What is printed for a target alone stands in each of its rows, or in one of its own. Figures
    under a condition are left out.
    """
    places: dict[Place, dict[str, float]] = {}
    for each in printed:
        if not each.condition:
            place = (each.label, each.target, each.rule)
            places.setdefault(place, {})[each.name] = each.value / 100
    shared = {place[1]: values for place, values in places.items() if place[::2] == ("", "")}
    return {
        place: shared.get(place[1], {}) | values
        for place, values in places.items()
        if place[::2] != ("", "") or not any(p[1] == place[1] and p != place for p in places)
    }


def gain_over(values: Mapping[str, float], other: str) -> float | None:
    """Return CG's difference from another arm, None where `values` (see `by_place`) lack it."""
    direct = values.get(f"{CG}-minus-{other}")
    if direct is not None:
        return direct
    for ending in ("", *(name.removeprefix(CG) for name in values if name.startswith(f"{CG}-"))):
        if CG + ending in values and other + ending in values:
            return values[CG + ending] - values[other + ending]
    return None


def gains(values: Mapping[str, float]) -> dict[str, float]:
    """Return CG's differences from all arms that it is compared with, by arm."""
    named = [name.removeprefix(f"{CG}-minus-") for name in values if name.startswith(f"{CG}-minus")]
    found = {other: gain_over(values, other) for other in (*_OTHERS, *named)}
    return {other: gain for other, gain in found.items() if gain is not None}


def tick(values: Mapping[str, float]) -> str:
    """Return the paper's tick: whether CG is above every other arm; empty where none is there."""
    found = gains(values).values()
    return "" if not found else "yes" if min(found) > 0 else "no"


def has_gains(printed: Iterable[Printed]) -> bool:
    """Tell whether a paper prints gains: CG beside another arm."""
    return any(map(gains, by_place(printed).values()))
