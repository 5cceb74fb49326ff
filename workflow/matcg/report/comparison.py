"""Every combination against its reference arm and the baseline, on the same questions.

One row a combination and setting: difference with intervals, exact McNemar p, what several seeds or
draws add, corrections for many comparisons, and the verdict.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from matcg import seeds, statistics
from matcg.config.published import tick
from matcg.records import PlanRow
from matcg.report.columns import (
    SETTING_COLUMNS,
    SETTING_FIELDS,
    estimate_column,
    estimate_fields,
    setting_cells,
    spread,
)
from matcg.report.render import Cell, Column, Field, Row, Table, number
from matcg.report.study import CG, CONTROL, SETTING, Array, Setting, Study, Target, setting_of
from matcg.statistics import Codes

__all__ = ["COMPARISON", "Claims", "comparison_rows"]

SEED = 0
FAMILIES = {"rule": (*SETTING, "rule"), "target": (*SETTING, "target"), "experiment": SETTING}

COMPARISON = Table(
    "comparison",
    "Every combination against the reference arm on the same questions (%, difference in points)",
    (
        *SETTING_FIELDS,
        *(Field(name) for name in ("target", "rule", "combination", "label", "reference")),
        *(Field(name, "count") for name in ("seeds", "draws", "n", "clusters")),
        *(Field(name, "fraction") for name in ("chance", "cg", "cg_sd", "control", "control_sd")),
        Field("baseline", "fraction"),
        *estimate_fields("difference"),
        *estimate_fields("over_runs"),
        *estimate_fields("minus_baseline"),
        Field("better", "count"),
        Field("worse", "count"),
        *(Field(name, "p") for name in ("p_mcnemar", "p_runs", "p_holm", "q_bh")),
        *(Field(name, "p") for name in ("p_baseline", "p_baseline_holm")),
        Field("detectable", "fraction"),
        Field("verdict"),
        Field("tick"),
    ),
    (
        *SETTING_COLUMNS,
        Column("Target", "target"),
        Column("Rule", "rule"),
        Column("Sources", "combination"),
        Column("Row", "label"),
        Column("Baseline", "baseline", "percent"),
        Column("Control", "control", "percent"),
        Column("its SD", "control_sd", "points"),
        Column("CG", "cg", "percent"),
        Column("its SD", "cg_sd", "points"),
        estimate_column("Difference", "difference", "points"),
        estimate_column("Runs counted", "over_runs", "points"),
        Column("Verdict", "verdict"),
        Column("Paper's tick", "tick"),
        Column("McNemar p", "p_mcnemar", "p"),
        Column("Runs p", "p_runs", "p"),
        Column("Holm p", "p_holm", "p"),
        Column("BH q", "q_bh", "p"),
        estimate_column("Minus baseline", "minus_baseline", "points"),
        Column("its McNemar p", "p_baseline", "p"),
        Column("its Holm p", "p_baseline_holm", "p"),
        Column("Questions", "n", "count"),
        Column("Clusters", "clusters", "count"),
        Column("Seeds", "seeds", "count"),
        Column("Draws", "draws", "count"),
        Column("Chance", "chance", "percent"),
        Column("Detectable", "detectable", "points"),
    ),
)


@dataclass(frozen=True, slots=True)
class Claims:
    """What was declared before looking: Holm's family, and the smallest difference of interest."""

    family: str = "rule"
    minimum_effect: float = statistics.MINIMUM_EFFECT


def comparison_rows(study: Study, claims: Claims) -> list[Row]:
    """Return one row a combination, its seeds pooled, with p values adjusted over their families.

    Holm's family is that of `claims` within a setting; Benjamini and Hochberg's is the whole table.
    """
    groups: dict[tuple[Setting, str, str, str, str], list[PlanRow]] = defaultdict(list)
    for row in study.rows:
        if row.arm == CG:
            key = (setting_of(row), row.catalog, row.target, row.rule, row.combination)
            groups[key].append(row)
    pairs = [Pair(study, key[0], rows) for key, rows in groups.items()]
    spreads = _spreads(study, pairs)
    cells = [_comparison_row(pair) | spread for pair, spread in zip(pairs, spreads, strict=True)]
    for p, adjusted in (("p", "p_holm"), ("p_baseline", "p_baseline_holm")):
        families: dict[tuple[Cell, ...], list[dict[str, Cell]]] = defaultdict(list)
        for cell in cells:
            if cell[p] is not None:
                families[tuple(cell[name] for name in FAMILIES[claims.family])].append(cell)
        for family in families.values():
            _adjust(family, p, adjusted, statistics.holm)
    tested = [cell for cell in cells if cell["p"] is not None]
    _adjust(tested, "p", "q_bh", statistics.benjamini_hochberg)
    return [{**cell, "verdict": _verdict(cell, study.reference, claims)} for cell in cells]


def _adjust(
    rows: Sequence[dict[str, Cell]],
    name: str,
    adjusted: str,
    adjust: Callable[[Sequence[float]], list[float]],
) -> None:
    for row, p in zip(rows, adjust([number(row[name]) for row in rows]), strict=True):
        row[adjusted] = p


def _verdict(row: Row, reference: str, claims: Claims) -> str:
    if row["difference"] is None:
        return f"no {reference}"
    difference, p, detectable = (
        number(row[name]) for name in ("difference", "p_holm", "detectable")
    )
    towards = number(row["better"]) - number(row["worse"])
    if towards * difference <= 0:
        # A few clusters or seeds can pull the mean one way and most of them the other: no claim.
        p = 1.0
    return statistics.verdict(difference, p, detectable, claims.minimum_effect)


@dataclass(frozen=True)
class Pair:
    """A combination's runs in a setting, and what they are compared with."""

    study: Study
    setting: Setting
    rows: Sequence[PlanRow]

    @property
    def target(self) -> Target:
        """Return catalog and id of the target."""
        return (self.rows[0].catalog, self.rows[0].target)

    @cached_property
    def references(self) -> list[PlanRow]:
        """Return the reference runs, each once."""
        found = [other for row in self.rows for other in self.study.references(row, self.setting)]
        return list({row.key: row for row in found}.values())

    @cached_property
    def cg(self) -> Array:
        """Return the combination's scores, shape (seeds, questions)."""
        return self.study.replicates(self.rows)

    @cached_property
    def reference(self) -> Array | None:
        """Return the reference's scores, shape (draws or seeds, questions)."""
        return self.study.replicates(self.references) if self.references else None

    @cached_property
    def difference(self) -> Array | None:
        """Return per-question differences of the means over runs."""
        if self.reference is None:
            return None
        difference: Array = (self.cg.mean(axis=0) - self.reference.mean(axis=0)).round(9)
        return difference

    @cached_property
    def minus_baseline(self) -> Array | None:
        """Return the same against the untouched backbone."""
        found = self.study.baselines(self.rows[0])
        return (self.cg.mean(axis=0) - self.study.mean_correct(found)).round(9) if found else None


def _spreads(study: Study, pairs: Sequence[Pair]) -> list[dict[str, Cell]]:
    """Return the bootstrap intervals of each pair; those of a target are resampled alike."""
    names = ("difference", "minus_baseline")
    found: list[dict[str, Cell]] = [{} for _ in pairs]
    for name in names:
        targets: dict[Target, list[int]] = defaultdict(list)
        for index, pair in enumerate(pairs):
            found[index] |= spread(name, None)
            if getattr(pair, name) is not None:
                targets[pair.target].append(index)
        for target, places in targets.items():
            scores = np.array([getattr(pairs[index], name) for index in places])
            seed = seeds.derive(SEED, "combinations", *target)
            estimates = statistics.means_over_questions(scores, seed, study.clusters(target))
            for index, estimate in zip(places, estimates, strict=True):
                found[index] |= spread(name, estimate)
    return found


def _comparison_row(pair: Pair) -> dict[str, Cell]:
    study, first = pair.study, pair.rows[0]
    n_options, clusters = study.answers[first.key].n_options, study.clusters(pair.target)
    baselines = study.baselines(first)
    cg = float(pair.cg.mean())
    means = {
        "control": _mean_accuracy(study, [row for row in pair.references if row.arm == CONTROL]),
        "baseline": _mean_accuracy(study, baselines),
    }
    return {
        **setting_cells(pair.setting),
        **{name: getattr(first, name) for name in ("target", "rule", "combination", "label")},
        "reference": study.reference,
        "seeds": len({row.seed for row in pair.rows}),
        "draws": len({row.draw for row in pair.references}),
        "n": n_options.size,
        "clusters": n_options.size if clusters is None else int(clusters.max()) + 1,
        "chance": statistics.chance(n_options),
        "cg": cg,
        **means,
        "cg_sd": _sd(pair.cg),
        "control_sd": _sd(pair.reference),
        **_tests(pair, clusters),
        "tick": tick({CG: cg} | {name: mean for name, mean in means.items() if mean is not None}),
    }


def _mean_accuracy(study: Study, rows: Sequence[PlanRow]) -> float | None:
    return float(np.mean([study.correct(row).mean() for row in rows])) if rows else None


def _sd(runs: Array | None) -> float | None:
    """Return the standard deviation of runs' accuracies, None where there is but one."""
    return None if runs is None or len(runs) < 2 else float(runs.mean(axis=1).std(ddof=1))


def _tests(pair: Pair, clusters: Codes | None) -> dict[str, Cell]:
    """Return p values and what they rest on; `p`, that of the verdict, is the larger of both.

    McNemar's test takes the runs as they are. Where there are several, a claim must also hold
    when they are counted as drawn.
    """
    names = ("better", "worse", "p_mcnemar", "p_runs", "p", "p_holm", "q_bh", "detectable")
    cells: dict[str, Cell] = {**dict.fromkeys(names), **spread("over_runs", None)}
    cells |= dict.fromkeys(("p_baseline", "p_baseline_holm"))
    if pair.minus_baseline is not None:
        cells["p_baseline"] = statistics.mcnemar_p(pair.minus_baseline, clusters)
    if pair.difference is None or pair.reference is None:
        return cells
    better, worse = statistics.discordant(pair.difference, clusters)
    n = pair.difference.size if clusters is None else int(clusters.max()) + 1
    p = statistics.mcnemar_p(pair.difference, clusters)
    detectable = statistics.detectable_difference(n, better + worse)
    cells |= {"better": better, "worse": worse, "p_mcnemar": p}
    over_runs = statistics.difference_over_runs(pair.cg, pair.reference, clusters)
    if over_runs:
        cells |= {"p_runs": over_runs.p, **spread("over_runs", over_runs.estimate)}
        p, detectable = max(p, over_runs.p), max(detectable, over_runs.detectable)
    return {**cells, "p": p, "detectable": detectable}
