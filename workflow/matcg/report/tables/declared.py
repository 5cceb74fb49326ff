"""The tables of an experiment: titles, records, and the columns that readers see.

A header that is not given is the name of the cell: `worst_order` is "Worst order".
"""

import csv
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from matcg import forms
from matcg.analysis.accuracy import Accuracy
from matcg.analysis.agreement import RANKED, Agreement
from matcg.analysis.beside_published import Beside
from matcg.analysis.blank_images import Looking
from matcg.analysis.by_target import ByTarget
from matcg.analysis.comparison import Comparison
from matcg.analysis.coverage import Coverage
from matcg.analysis.label_scores import SCORES as BY_LABEL
from matcg.analysis.letters import Bin, LetterUse, OrderUse
from matcg.analysis.localisation import SCORES, Localisation
from matcg.analysis.missing import Missing
from matcg.analysis.no_verdict import NoVerdict
from matcg.analysis.protocols import ByProtocol
from matcg.analysis.published_tests import UNPAIRED_KEYS, GainCount, GainTest
from matcg.analysis.summary import Summary
from matcg.analysis.unbalanced import LabelMeans, LabelScores
from matcg.config.arm import CG
from matcg.report.tables.table import ShownColumn, Table

_T = TypeVar("_T")

_NAMES = {CG: "CG"}  # of arms in headers

# Said where not all rows are about accuracy.
_SCORE = {"score": forms.ACCURACY}
_SETTING = ("backbone", "recipe", ("n_train", "Samples"), ("mixed_in", "Target's"))

ACCURACY = Table(
    "accuracy",
    "Accuracy of every evaluation (%, Wilson 95 % interval)",
    Accuracy,
    (
        *_SETTING,
        "score",
        *("target", "arm", "rule"),
        ("combination", "Sources"),
        ("label", "Row"),
        *("seed", "draw"),
        ("n", "Questions"),
        *("accuracy", "chance", "strict"),
        ("mass", "Letter mass"),
    ),
    usual=_SCORE,
)

COMPARISON = Table(
    "comparison",
    "Every combination against the reference arm on the same questions (%, difference in points)",
    Comparison,
    (
        *_SETTING,
        "score",
        *("target", "rule"),
        ("combination", "Sources"),
        ("label", "Row"),
        *("baseline", "control"),
        ("control_sd", "its SD"),
        ("cg", "CG"),
        ("cg_sd", "its SD"),
        "difference",
        ("over_runs", "Runs counted"),
        "verdict",
        ("tick", "Paper's tick"),
        ("p_mcnemar", "McNemar p"),
        ("p_swap", "Swap p"),
        ("p_runs", "Runs p"),
        ("p_holm", "Holm p"),
        ("q_bh", "BH q"),
        "minus_baseline",
        ("p_baseline", "its McNemar p"),
        ("p_baseline_holm", "its Holm p"),
        ("n", "Questions"),
        *("clusters", "seeds", "draws", "chance", "detectable"),
    ),
    usual=_SCORE | {"p_swap": None},
)

SUMMARY = Table(
    "summary",
    "Means over targets (%, differences in points, bootstrap over targets and questions)",
    Summary,
    (
        *_SETTING,
        "score",
        *("arm", "rule", "targets", "accuracy", "chance", "minus_chance", "reference"),
        "minus_reference",
        ("mixed_model", "by a mixed model"),
        ("by_dataset", "by source dataset"),
        *("minus_baseline", "helps", "hurts", "comparisons"),
    ),
    usual=_SCORE,
)

TARGETS = Table(
    "targets",
    "Accuracy of every arm on each target, over its runs (%, bootstrap over questions)",
    ByTarget,
    (
        *_SETTING,
        "score",
        *("target", "arm", "rule", "combinations", "runs", "questions", "accuracy", "chance"),
    ),
    usual=_SCORE,
)

COVERAGE = Table(
    "coverage",
    "Which element gave what: accuracy by the elements that training covers (%), and how it comes"
    " about (points; bootstrap over targets and questions)",
    Coverage,
    (
        *_SETTING,
        "score",
        *("covered", "targets", "mean", "chance"),
        ("complete_targets", "with all smaller sets"),
        ("gain", "Minus nothing"),
        ("shapley", "Shapley value"),
        ("part_of_gain", "% of the gain"),
        "dividend",
        ("shapley_logit", "Shapley, logits"),
        ("dividend_logit", "Dividend, logits"),
        "note",
    ),
    usual=_SCORE,
)

LOCALISATION = Table(
    "localisation",
    "How well arms point at what is to be found, and what CG adds (%, differences in points,"
    " bootstrap over pictures, p of the swap test)",
    Localisation,
    (
        *_SETTING,
        *("target", "arm", "score", "mean"),
        ("p_mean", "p"),
        ("mean_with_finding", "With finding"),
        ("p_mean_with_finding", "p"),
        ("ciou", "cIoU"),
        ("p_ciou", "p"),
        ("effective", "cIoU rests on"),
        ("above_half", "IoU above 0.5"),
        ("p_above_half", "p"),
        ("f1", "F1 at 0.5"),
        ("p_f1", "p"),
        ("tp", "TP"),
        ("fp", "FP"),
        ("fn", "FN"),
        "sensitivity",
        ("p_sensitivity", "p"),
        "specificity",
        ("p_specificity", "p"),
        "ill_formed",
        ("p_ill_formed", "p"),
        *("ceiling", ("prior", "One place"), "pictures", "with_finding", "runs"),
    ),
    {"scores": SCORES, "p": [f"p_{name}" for name in SCORES]},
)

UNBALANCED = Table(
    "unbalanced",
    "Targets whose labels are not balanced: scores in which labels weigh alike, beside accuracy,"
    " and what CG adds (%, differences in points, bootstrap over questions, p of the swap test)",
    LabelScores,
    (
        *_SETTING,
        *("target", "arm", "accuracy", ("p_accuracy", "p")),
        ("balanced_accuracy", "Balanced accuracy"),
        ("p_balanced_accuracy", "p"),
        ("macro_f1", "Macro-F1"),
        ("p_macro_f1", "p"),
        ("auroc", "AUROC"),
        ("p_auroc", "p"),
        *("labels", "rarest", "questions", "runs", "note"),
    ),
    {"scores": BY_LABEL, "p": [f"p_{name}" for name in BY_LABEL]},
)

UNBALANCED_SUMMARY = Table(
    "unbalanced_summary",
    "Means over the targets whose labels are not balanced (%, differences in points, bootstrap over"
    " targets and questions)",
    LabelMeans,
    (
        *_SETTING,
        *("arm", "targets", "accuracy"),
        ("balanced_accuracy", "Balanced accuracy"),
        ("macro_f1", "Macro-F1"),
        ("auroc", "AUROC"),
        "note",
    ),
    {"scores": BY_LABEL},
)

LETTERS = Table(
    "letters",
    "How often each letter is right and is answered, recall (accuracy where it is right),"
    " and RStd, the standard deviation of recalls (%)",
    LetterUse,
    (
        *_SETTING,
        *("arm", "options", "letter", "answers", "right", "answered", "recall"),
        ("rstd", "RStd"),
    ),
)

ORDERS = Table(
    "orders",
    "How often each letter is answered when every option stands at it in turn, accuracy where the"
    " right answer stands at it, and RStd, the standard deviation of these accuracies (%)",
    OrderUse,
    (
        *_SETTING,
        *("protocol", "arm", "options", "letter", "answers", "right", "answered"),
        ("rstd", "RStd"),
        ("recall", "Accuracy there"),
    ),
)

CALIBRATION = Table(
    "calibration",
    "Confidence (probability of the answered letter among the letters of the options) against"
    " accuracy, and expected calibration error (%)",
    Bin,
    (
        *_SETTING,
        "arm",
        ("low", "Above"),
        ("high", "Up to"),
        *("answers", "confidence", "accuracy"),
        ("ece", "ECE"),
    ),
)

PROTOCOLS = Table(
    "protocols",
    "Accuracy by how the questions were asked (%, differences in points, bootstrap over targets"
    " and questions)",
    ByProtocol,
    (
        *_SETTING,
        "score",
        "protocol",
        ("asked", "How"),
        *("arm", "accuracy"),
        ("as_main", "Same as main"),
        "unread",
        ("changes", "Changes with order"),
        *("worst_order", "best_order", "strict", "chance", "targets", "questions", "note"),
    ),
    usual=_SCORE,
)

LOOKING = Table(
    "looking",
    "Accuracy with the question's picture, a grey one and another question's (%, differences in"
    " points, bootstrap over targets and questions)",
    Looking,
    (
        *_SETTING,
        "score",
        *("arm", "chance"),
        ("shown", "Picture shown"),
        ("blank", "Grey picture"),
        ("shuffled", "Another's picture"),
        ("minus_blank", "Shown minus grey"),
        ("minus_shuffled", "Shown minus another's"),
    ),
    usual=_SCORE,
)

NO_VERDICT = Table(
    "no_verdict",
    "Targets that can tell nothing, in no mean and without a verdict",
    NoVerdict,
    ("target", "questions", "reason"),
)

MISSING = Table(
    "missing",
    "Planned evaluations that are in no table, for want of answers",
    Missing,
    ("target", "arm", "backbone", "run", "reason"),
)

AGREEMENT = Table(
    "agreement",
    "figures in our 95 % intervals, differences of the same sign, verdicts that agree, and rank"
    " correlations of ours with the printed",
    Agreement,
    (
        *("experiment", "figures", "inside"),
        ("directions", "Differences"),
        ("same_direction", "Same sign"),
        *("verdicts", "same_verdict"),
        ("missing", "Evaluations missing"),
        ("rank_cg", "Rank, CG"),
        ("rank_control", "Rank, control"),
        ("rank_baseline", "Rank, baseline"),
        ("rank_gain", "Rank, gain"),
    ),
    {"ranks": [f"rank_{name}" for name in RANKED]},
)

TESTS = Table(
    "tests",
    "printed accuracies (%), gains (points), and what an exact McNemar test can have said of the"
    " gain over the best other arm",
    GainTest,
    (
        ("label", "Row"),
        *("target", "rule", "baseline", "control"),
        ("cg", "CG"),
        ("gain_best", "Gain"),
        ("gain_control", "Over control"),
        *("tick", "questions"),
        ("least_p_best", "Least p"),
        ("p_20_best", "p, 20 % differ"),
        ("p_30_best", "p, 30 % differ"),
        ("fewest_best", "Fewest questions"),
        ("fewest_20_best", "Fewest, 20 % differ"),
    ),
    {"unpaired": UNPAIRED_KEYS},
)

COUNTS = Table(
    "counts",
    "of the printed gains, how many are significant at 5 % as they stand, after Holm, and after"
    " Benjamini and Hochberg over all tested rows",
    GainCount,
    (
        ("against", "Gain over"),
        *("questions", "test", "rows", "gains"),
        ("significant", "p < 0.05"),
        "holm",
        ("bh", "BH"),
    ),
)


def published(names: Iterable[str]) -> Table[Beside]:
    """Return the table with, for every printed arm, the paper's figure, ours and how far apart."""
    names = list(names)
    arms: list[ShownColumn] = []
    for name in names:
        words = " minus ".join(_NAMES.get(part, part) for part in name.split("-minus-"))
        arms += [(f"{name}_{end}", f"{words}, {end}") for end in ("printed", "ours")]
        arms.append((f"{name}_apart", "apart"))
    title = "Beside the published figures (%, ours with bootstrap 95 % intervals, apart in points)"
    columns: tuple[ShownColumn, ...] = (
        *(("label", "Row"), "target", "rule", "backbone", "recipe"),
        *arms,
        ("printed_gain", "Gain, printed"),
        ("our_gain", "Gain, ours"),
        ("printed_questions", "Questions, printed"),
        ("least_p", "Least p, printed"),
    )
    return Table("published", title, Beside, columns, {"arms": names})


def published_in(folder: Path) -> Table[Beside] | None:
    """Return the same table as it was written to a folder, None where there is none."""
    path = folder / f"{published([]).stem}.csv"
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as stream:
        header = next(csv.reader(stream))
    ending = "_printed"
    return published(name.removesuffix(ending) for name in header if name.endswith(ending))


def without_leaks(table: Table[_T]) -> Table[_T]:
    """Return the table that is made without questions about leaked images."""
    return replace(table, stem=f"{table.stem}_without_leaks")


def of_paper(table: Table[_T], name: str) -> Table[_T]:
    """Return the table of one of a paper's tables."""
    return replace(table, stem=f"{name}_{table.stem}")
