"""Writes the tables about all of a paper: how far we agree, and what its gains can mean."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from matcg.analysis.agreement import read_agreements
from matcg.analysis.published_tests import gain_counts, gain_tests
from matcg.config.published import Printed
from matcg.report.tables.declared import AGREEMENT, COUNTS, TESTS, of_paper
from matcg.report.tables.write import write_table


def write_agreement(headlines: Iterable[Path], folder: Path) -> None:
    """Write agreement.csv, .md and .tex into `folder`: a row an experiment with printed figures.

    `headlines` are the experiments' headline.json.
    """
    rows = read_agreements(headlines)
    write_table(folder, AGREEMENT, rows, "Beside the published figures", fitted=True)


def write_tests(printed: Sequence[Printed], folder: Path, name: str) -> None:
    """Write `{name}_tests` and `{name}_counts` as .csv, .md and .tex into `folder`."""
    write_table(folder, of_paper(TESTS, name), gain_tests(printed), name, fitted=True)
    write_table(folder, of_paper(COUNTS, name), gain_counts(printed), name, fitted=True)
