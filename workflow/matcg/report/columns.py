"""Columns that several tables share: of a setting, and of an estimate with its interval."""

from matcg.report.render import Cell, Column, Field
from matcg.report.study import SETTING, Setting
from matcg.statistics import Estimate

__all__ = [
    "SETTING_COLUMNS",
    "SETTING_FIELDS",
    "estimate_column",
    "estimate_fields",
    "setting_cells",
    "spread",
]

SETTING_FIELDS = (
    Field("backbone"),
    Field("recipe"),
    Field("n_train", "count"),
    Field("mixed_in", "count"),
)
SETTING_COLUMNS = (
    Column("Backbone", "backbone"),
    Column("Recipe", "recipe"),
    Column("Samples", "n_train", "count"),
    Column("Target's", "mixed_in", "count"),
)


def estimate_fields(name: str) -> tuple[Field, ...]:
    return tuple(Field(f"{name}{end}", "fraction") for end in ("", "_low", "_high"))


def estimate_column(header: str, name: str, kind: str) -> Column:
    return Column(header, name, kind, (f"{name}_low", f"{name}_high"))


def setting_cells(setting: Setting) -> dict[str, Cell]:
    return dict(zip(SETTING, setting, strict=True))


def spread(name: str, estimate: Estimate | None) -> dict[str, Cell]:
    values = (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
