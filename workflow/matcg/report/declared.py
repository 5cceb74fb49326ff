"""The tables of an experiment: their titles, and the headers of the columns that readers see."""

import csv
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from matcg.analysis.accuracy import Accuracy
from matcg.analysis.summary import Summary
from matcg.config.experiment import CG
from matcg.records import BASELINE
from matcg.report.agreement import RANKED, Agreement
from matcg.report.beside import Beside
from matcg.report.comparison import Comparison
from matcg.report.letters import Bin, LetterUse, OrderUse
from matcg.report.looking import Looking
from matcg.report.missing import Missing
from matcg.report.protocols import ByProtocol
from matcg.report.published_tests import UNPAIRED_KEYS, GainCount, GainTest
from matcg.report.table import Table
from matcg.report.targets import ByTarget

T = TypeVar("T")

NAMES = {CG: "CG"}  # of arms in headers

SETTING = {
    "backbone": "Backbone",
    "recipe": "Recipe",
    "n_train": "Samples",
    "mixed_in": "Target's",
}

ACCURACY = Table(
    "accuracy",
    "Accuracy of every evaluation (%, Wilson 95 % interval)",
    Accuracy,
    {
        **SETTING,
        "target": "Target",
        "arm": "Arm",
        "rule": "Rule",
        "combination": "Sources",
        "label": "Row",
        "seed": "Seed",
        "draw": "Draw",
        "n": "Questions",
        "accuracy": "Accuracy",
        "chance": "Chance",
        "strict": "Strict",
        "mass": "Letter mass",
    },
)

COMPARISON = Table(
    "comparison",
    "Every combination against the reference arm on the same questions (%, difference in points)",
    Comparison,
    {
        **SETTING,
        "target": "Target",
        "rule": "Rule",
        "combination": "Sources",
        "label": "Row",
        "baseline": "Baseline",
        "control": "Control",
        "control_sd": "its SD",
        "cg": "CG",
        "cg_sd": "its SD",
        "difference": "Difference",
        "over_runs": "Runs counted",
        "verdict": "Verdict",
        "tick": "Paper's tick",
        "p_mcnemar": "McNemar p",
        "p_runs": "Runs p",
        "p_holm": "Holm p",
        "q_bh": "BH q",
        "minus_baseline": "Minus baseline",
        "p_baseline": "its McNemar p",
        "p_baseline_holm": "its Holm p",
        "n": "Questions",
        "clusters": "Clusters",
        "seeds": "Seeds",
        "draws": "Draws",
        "chance": "Chance",
        "detectable": "Detectable",
    },
)

SUMMARY = Table(
    "summary",
    "Means over targets (%, differences in points, bootstrap over targets and questions)",
    Summary,
    {
        **SETTING,
        "arm": "Arm",
        "rule": "Rule",
        "targets": "Targets",
        "accuracy": "Accuracy",
        "chance": "Chance",
        "minus_chance": "Minus chance",
        "reference": "Reference",
        "minus_reference": "Minus reference",
        "mixed_model": "by a mixed model",
        "by_dataset": "by source dataset",
        "minus_baseline": "Minus baseline",
        "helps": "Helps",
        "hurts": "Hurts",
        "comparisons": "Comparisons",
    },
)

TARGETS = Table(
    "targets",
    "Accuracy of every arm on each target, over its runs (%, bootstrap over questions)",
    ByTarget,
    {
        **SETTING,
        "target": "Target",
        "arm": "Arm",
        "rule": "Rule",
        "combinations": "Combinations",
        "runs": "Runs",
        "questions": "Questions",
        "accuracy": "Accuracy",
        "chance": "Chance",
    },
)

LETTERS = Table(
    "letters",
    "How often each letter is right and is answered, recall (accuracy where it is right),"
    " and RStd, the standard deviation of recalls (%)",
    LetterUse,
    {
        **SETTING,
        "arm": "Arm",
        "options": "Options",
        "letter": "Letter",
        "answers": "Answers",
        "right": "Right",
        "answered": "Answered",
        "recall": "Recall",
        "rstd": "RStd",
    },
)

ORDERS = Table(
    "orders",
    "How often each letter is answered when every option stands at it in turn, accuracy where the"
    " right answer stands at it, and RStd, the standard deviation of these accuracies (%)",
    OrderUse,
    {
        **SETTING,
        "protocol": "Protocol",
        "arm": "Arm",
        "options": "Options",
        "letter": "Letter",
        "answers": "Answers",
        "right": "Right",
        "answered": "Answered",
        "rstd": "RStd",
        "recall": "Accuracy there",
    },
)

CALIBRATION = Table(
    "calibration",
    "Confidence (probability of the answered letter among the letters of the options) against"
    " accuracy, and expected calibration error (%)",
    Bin,
    {
        **SETTING,
        "arm": "Arm",
        "low": "Above",
        "high": "Up to",
        "answers": "Answers",
        "confidence": "Confidence",
        "accuracy": "Accuracy",
        "ece": "ECE",
    },
)

PROTOCOLS = Table(
    "protocols",
    "Accuracy by how the questions were asked (%, differences in points, bootstrap over targets"
    " and questions)",
    ByProtocol,
    {
        **SETTING,
        "protocol": "Protocol",
        "asked": "How",
        "arm": "Arm",
        "accuracy": "Accuracy",
        "as_main": "Same as main",
        "unread": "Unread",
        "changes": "Changes with order",
        "worst_order": "Worst order",
        "best_order": "Best order",
        "strict": "Strict",
        "chance": "Chance",
        "targets": "Targets",
        "questions": "Questions",
        "note": "Note",
    },
)

LOOKING = Table(
    "looking",
    "Accuracy with the question's picture, a grey one and another question's (%, differences in"
    " points, bootstrap over targets and questions)",
    Looking,
    {
        **SETTING,
        "arm": "Arm",
        "chance": "Chance",
        "shown": "Picture shown",
        "blank": "Grey picture",
        "shuffled": "Another's picture",
        "minus_blank": "Shown minus grey",
        "minus_shuffled": "Shown minus another's",
    },
)

MISSING = Table(
    "missing",
    "Planned evaluations that are in no table, for want of answers",
    Missing,
    {"target": "Target", "arm": "Arm", "backbone": "Backbone", "run": "Run", "reason": "Reason"},
)

AGREEMENT = Table(
    "agreement",
    "figures in our 95 % intervals, differences of the same sign, verdicts that agree, and rank"
    " correlations of ours with the printed",
    Agreement,
    {
        "experiment": "Experiment",
        "figures": "Figures",
        "inside": "Inside",
        "directions": "Differences",
        "same_direction": "Same sign",
        "verdicts": "Verdicts",
        "same_verdict": "Same verdict",
        "missing": "Evaluations missing",
        f"rank_{CG}": "Rank, CG",
        "rank_control": "Rank, control",
        f"rank_{BASELINE}": "Rank, baseline",
        "rank_gain": "Rank, gain",
    },
    {"ranks": [f"rank_{name}" for name in RANKED]},
)

TESTS = Table(
    "tests",
    "printed accuracies (%), gains (points), and what an exact McNemar test can have said of the"
    " gain over the best other arm",
    GainTest,
    {
        "label": "Row",
        "target": "Target",
        "rule": "Rule",
        "baseline": "Baseline",
        "control": "Control",
        CG: "CG",
        "gain_best": "Gain",
        "gain_control": "Over control",
        "tick": "Tick",
        "questions": "Questions",
        "least_p_best": "Least p",
        "p_20_best": "p, 20 % differ",
        "p_30_best": "p, 30 % differ",
        "fewest_best": "Fewest questions",
        "fewest_20_best": "Fewest, 20 % differ",
    },
    {"unpaired": UNPAIRED_KEYS},
)

COUNTS = Table(
    "counts",
    "of the printed gains, how many are significant at 5 % as they stand, after Holm, and after"
    " Benjamini and Hochberg over all tested rows",
    GainCount,
    {
        "against": "Gain over",
        "questions": "Questions",
        "test": "Test",
        "rows": "Rows",
        "gains": "Gains",
        "significant": "p < 0.05",
        "holm": "Holm",
        "bh": "BH",
    },
)


def published(names: Iterable[str]) -> Table[Beside]:
    """Return the table with, for every printed arm, the paper's figure, ours and how far apart."""
    names = list(names)
    headers = {"label": "Row", "target": "Target", "rule": "Rule"}
    headers |= {"backbone": "Backbone", "recipe": "Recipe"}
    for name in names:
        words = " minus ".join(NAMES.get(part, part) for part in name.split("-minus-"))
        headers |= {f"{name}_printed": f"{words}, printed", f"{name}_ours": f"{words}, ours"}
        headers[f"{name}_apart"] = "apart"
    headers |= {"printed_gain": "Gain, printed", "our_gain": "Gain, ours"}
    headers |= {"printed_questions": "Questions, printed", "least_p": "Least p, printed"}
    title = "Beside the published figures (%, ours with bootstrap 95 % intervals, apart in points)"
    return Table("published", title, Beside, headers, {"arms": names})


def published_in(folder: Path) -> Table[Beside] | None:
    """Return the same table as it was written to a folder, None where there is none."""
    path = folder / f"{published([]).stem}.csv"
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as stream:
        header = next(csv.reader(stream))
    ending = "_printed"
    return published(name.removesuffix(ending) for name in header if name.endswith(ending))


def without_leaks(table: Table[T]) -> Table[T]:
    """Return the table that is made without questions about leaked images."""
    return replace(table, stem=f"{table.stem}_without_leaks")


def of_paper(table: Table[T], name: str) -> Table[T]:
    """Return the table of one of a paper's tables."""
    return replace(table, stem=f"{name}_{table.stem}")
