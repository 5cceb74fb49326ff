"""Writes the tables of an experiment, and its headline.json."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from matcg import told
from matcg.analysis import blank_images as looking
from matcg.analysis.accuracy import accuracies
from matcg.analysis.agreement import agreement, in_words
from matcg.analysis.answers import read_leaked
from matcg.analysis.beside_published import arm_names, beside
from matcg.analysis.by_target import by_targets
from matcg.analysis.comparison import Claims, Comparison, comparisons
from matcg.analysis.composition import compositions
from matcg.analysis.coverage import coverage
from matcg.analysis.headline import headline, mark
from matcg.analysis.labels import with_labels
from matcg.analysis.letters import calibration, letter_use
from matcg.analysis.localisation import localisations
from matcg.analysis.missing import Reasons, add_missing, find_missing, read_study
from matcg.analysis.no_verdict import (
    Facts,
    add_no_verdicts,
    apart,
    find_no_verdicts,
    read_facts,
    silenced,
    telling_rows,
)
from matcg.analysis.pairs import Study, Target, without
from matcg.analysis.paper_cells import Builder, Paper
from matcg.analysis.prior import with_priors
from matcg.analysis.protocols import (
    AskedRuns,
    asked_ways,
    by_protocols,
    further_rows,
    in_all_orders,
)
from matcg.analysis.reduced import knocked_out
from matcg.analysis.seen_before import seen_before
from matcg.analysis.summary import summaries
from matcg.analysis.unbalanced import label_scores
from matcg.analysis.units import united, units_of
from matcg.config.protocol import DEFAULT_PROTOCOL as BY_LETTER
from matcg.config.protocol import Protocol
from matcg.plan import records
from matcg.report.tables import declared
from matcg.report.tables import paper as papers
from matcg.report.tables.composition import composition
from matcg.report.tables.table import Table
from matcg.report.tables.write import write_table

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an experiment asks of its tables.

    `claims` are what was declared before looking, `paper` what a paper prints and how. `protocols`
    are how questions were asked: what is compared, and what is reported beside it. With
    `show_missing` evaluations without answers are listed and left out. `smoke` marks a smoke run.
    `covers` are the elements that an arm covers, of arms that are about that.
    `reduced` are the arms that are combinations without an element. A target of fewer questions
    than `minimum_questions` gets no verdict.
    """

    experiment: str
    claims: Claims = field(default_factory=Claims)
    paper: Paper = field(default_factory=Paper)
    protocols: Sequence[Protocol] = ()
    show_missing: bool = False
    smoke: str = ""
    covers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    reduced: Sequence[records.Reduced] = ()
    minimum_questions: int = 0

    @property
    def titled(self) -> str:
        """Return what titles of tables start with."""
        return f"{self.experiment} ({self.smoke})" if self.smoke else self.experiment


def compare(
    plan: Path,
    wanted: Wanted,
    out: Path,
    leaked: Path | None = None,
    mixes: Mapping[str, Path] | None = None,
) -> None:
    """Write an experiment's tables and headline.json under `out`.

    `plan` is the folder of the experiment's plan, which says where its runs, their answers and the
    questions lie. `leaked` is the table of test images that were trained on: where there are any,
    the tables are made once more without the questions about them. `mixes` are the training sets by
    name, by which it is told what places alone are worth.

    Raises:
        DataError: a planned evaluation has no answers, or answers that cannot be paired; or a run,
            an answer, a mix or a subset says that it is another than planned.
    """
    rows, places = records.read_plan(plan, wanted.experiment), records.read_places(plan)
    folders = records.read_folders(plan)
    every = [*rows, *further_rows(rows, places, wanted.protocols)]
    whole = read_study(every, places, wanted.show_missing, folders)
    check_runs(whole.rows, places, plan)
    whole, units = with_priors(whole, mixes or {}, folders), units_of(wanted.paper.catalog)
    names = read_leaked(leaked, rows) if leaked else {}
    whole = with_labels(whole, rows, places, folders, units, names)
    everything = united(whole, units)
    facts = read_facts(folders, rows, units)
    study, tables = everything.of(rows), Tables(out / "tables", wanted, facts)
    mute = find_no_verdicts(study, facts, wanted.minimum_questions)
    telling = telling_rows(every, mute, units)
    ways = asked_ways(everything, telling, wanted.protocols) if wanted.protocols else []
    shuffled = looking.shuffled(ways)
    found, compared = tables.of_arms(study, shuffled)
    tables.write(declared.TARGETS, by_targets(study))
    told, _ = apart(study, mute)
    tables.write(declared.LETTERS, letter_use(told))
    tables.write(declared.CALIBRATION, calibration(told))
    if names:
        other = without(shuffled, names) if shuffled else None
        again, _ = tables.of_arms(united(without(whole.of(rows), names), units), other, clean=True)
        found["without_leaks"] = {"questions": sum(map(len, names.values())), **again}
    if wanted.show_missing:
        add_missing(found, whole)
        tables.write(declared.MISSING, find_missing(whole))
    left_out = records.read_excluded(plan, wanted.experiment)
    found |= tables.of_protocols(ways)
    found |= tables.as_printed(study, compared, left_out)
    if wanted.smoke:
        mark(found, wanted.smoke)
    text = json.dumps(found, indent=2, ensure_ascii=False)
    (out / "headline.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def check_runs(rows: Iterable[records.Row], places: Mapping[records.Key, Path], plan: Path) -> None:
    """Refuse answers of runs that are others than planned, or were trained anew since."""
    runs = records.read_runs(plan)
    for row in {row.key: row for row in rows if row.mix}.values():
        told.check_trained(places[row.key], runs[row.backbone, row.run])


@dataclass(frozen=True, slots=True)
class Tables:
    """The folder of an experiment's tables; all of these return what headline.json says of them."""

    folder: Path
    wanted: Wanted
    facts: Mapping[Target, Facts]

    def write(self, table: Table[_T], rows: Sequence[_T], clean: bool = False) -> None:
        """Write a table, or with `clean` the one without questions about leaked images."""
        table = declared.without_leaks(table) if clean else table
        write_table(self.folder, table, rows, self.wanted.titled)

    def of_arms(
        self, study: Study, shuffled: Study | None, clean: bool = False
    ) -> tuple[dict[str, Any], list[Comparison]]:
        """Write the tables about arms; return what was found and the comparisons.

        `shuffled` is the study of the same runs that saw other questions' pictures, if they did.
        """
        name = self.wanted.experiment
        if not study.rows and (clean or not study.partial):
            return {"experiment": name, "headline": "no question is left", "results": []}, []
        mute = find_no_verdicts(study, self.facts, self.wanted.minimum_questions)
        study, rest = apart(study, mute)
        silent = silenced(comparisons(rest, self.wanted.claims))
        compared = comparisons(study, self.wanted.claims, shuffled)
        summary = summaries(study, compared)
        if mute:
            self.write(declared.NO_VERDICT, mute, clean)
        self.write(declared.ACCURACY, [*accuracies(rest), *accuracies(study)], clean)
        self.write(declared.COMPARISON, [*silent, *compared], clean)
        self.write(declared.SUMMARY, summary, clean)
        if located := localisations(study):
            self.write(declared.LOCALISATION, located, clean)
        by_target, over_targets = label_scores(study)
        if by_target:
            self.write(declared.UNBALANCED, by_target, clean)
            self.write(declared.UNBALANCED_SUMMARY, over_targets, clean)
        if covered := coverage(study, self.wanted.covers):
            self.write(declared.COVERAGE, covered, clean)
        seen = seen_before(study) if self.wanted.reduced else set()
        composed = compositions(study, self.wanted.reduced, compared, summary, seen)
        if composed:
            elements = knocked_out(self.wanted.reduced)
            self.write(composition(elements), composed, clean)
        found = headline(study, name, summary, covered, composed)
        if composed and seen:
            found["not_seen_before"] = self._unseen(study, compared, seen)
        add_no_verdicts(found, mute)
        return found, [*silent, *compared]

    def _unseen(
        self, study: Study, compared: Sequence[Comparison], seen: set[tuple[str, Target]]
    ) -> dict[str, Any]:
        """Return the headline without targets that the untouched backbone may have seen."""
        rest = study.of([r for r in study.planned if (r.backbone, r.key[1:3]) not in seen])
        if not rest.rows:
            return {"left_out": len(seen), "headline": "no target is left"}
        left = {(row.backbone, row.target) for row in rest.rows}
        again = [each for each in compared if (each.setting.backbone, each.target) in left]
        summary = summaries(rest, again)
        composed = compositions(rest, self.wanted.reduced, again, summary)
        found = headline(rest, self.wanted.experiment, summary, composed=composed)
        return {"left_out": len(seen), **found}

    def of_protocols(self, ways: Sequence[AskedRuns]) -> dict[str, Any]:
        """Write how the questions were asked, where not by letters alone.

        A table without rows is not written.
        """
        if all(way.name == BY_LETTER for way in ways):
            return {}
        if asked := by_protocols(ways):
            self.write(declared.PROTOCOLS, asked)
        if orders := in_all_orders(ways):
            self.write(declared.ORDERS, orders)
        if looked := looking.looking(ways):
            self.write(declared.LOOKING, looked)
        said = looking.sentences(looked)
        return {"asked": said} if said else {}

    def as_printed(
        self, study: Study, compared: Sequence[Comparison], left_out: Sequence[records.Excluded]
    ) -> dict[str, Any]:
        """Write the tables beside a paper's figures and in its shape, if there is one."""
        paper, found, remark = self.wanted.paper, {}, ""
        if paper.printed:
            rows = beside(study, paper.printed)
            self.write(declared.published(arm_names(paper.printed)), rows)
            found = {"published": agreement(rows, paper.printed)}
            remark = found["published"]["text"] = in_words(found["published"])
        if paper.printed or paper.layout:
            builder = Builder(study, paper, compared, Reasons(study.planned, left_out))
            papers.write_paper(builder, self.wanted.experiment, self.folder, remark)
        return found
