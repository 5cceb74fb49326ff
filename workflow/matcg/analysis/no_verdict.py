"""Targets on which no verdict can rest, by the questions that were asked of them (telling.py)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from matcg import forms
from matcg.analysis.clusters import Folders
from matcg.analysis.comparison import Comparison
from matcg.analysis.pairs import Study, Target
from matcg.analysis.units import Units
from matcg.plan.records import Row
from matcg.provenance import read_record
from matcg.samples import read_samples
from matcg.telling import faults
from matcg.words import counted

NO_VERDICT = "no verdict"


@dataclass(frozen=True, slots=True)
class NoVerdict:
    """A target whose questions can tell nothing, and why."""

    catalog: str
    target: str
    questions: int
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the samples of a target say: answers that need no picture, by sample id, and faults."""

    constants: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    contradictions: list[list[str]] = field(default_factory=list)


def read_facts(folders: Folders, rows: Iterable[Row], units: Units) -> dict[Target, Facts]:
    """Return the facts of the targets of some rows, those of a unit together."""
    found: dict[Target, Facts] = defaultdict(Facts)
    for catalog, target in sorted({(row.catalog, row.target) for row in rows}):
        mine, folder = found[catalog, units.get(target, target)], folders[catalog, target]
        for sample in read_samples(folder / "test.parquet", pictures=False):
            mine.constants[sample.sample_id] = forms.of(sample).constants(sample)
        account = read_record(folder / "summary.json")
        mine.lost.extend(account.get("lost_labels", ()))
        mine.contradictions.extend(account.get("contradictions", ()))
    return dict(found)


def find_no_verdicts(study: Study, facts: Mapping[Target, Facts], minimum: int) -> list[NoVerdict]:
    """Return the targets of a study whose questions, as far as they were asked, tell nothing."""
    asked = {row.key[1:3]: study.answers[row.key].sample_id.tolist() for row in study.rows}
    found = []
    for target, names in sorted(asked.items()):
        known, there = facts[target], set(names)
        counts = Counter(answer for name in names for answer in known.constants[name])
        pairs = [pair for pair in known.contradictions if there.issuperset(pair)]
        reasons = faults(len(names), counts, known.lost, pairs, minimum)
        if reasons:
            found.append(NoVerdict(*target, len(names), "; ".join(reasons)))
    return found


def apart(study: Study, found: Sequence[NoVerdict]) -> tuple[Study, Study]:
    """Return the study of all other targets, and that of those on which there is no verdict."""
    if not found:
        return study, study.of([])
    telling = telling_rows(study.planned, found, {})
    kept = {row.key for row in telling}
    return study.of(telling), study.of([row for row in study.planned if row.key not in kept])


def telling_rows(rows: Iterable[Row], found: Iterable[NoVerdict], units: Units) -> list[Row]:
    """Return the rows of all other targets, before those of a unit are one."""
    mute = {(each.catalog, each.target) for each in found}
    return [row for row in rows if (row.catalog, units.get(row.target, row.target)) not in mute]


def silenced(compared: Iterable[Comparison]) -> list[Comparison]:
    """Return comparisons without their verdicts, and without a place in a family of tests."""
    return [
        replace(each, verdict=NO_VERDICT, p_holm=None, q_bh=None, p_baseline_holm=None)
        for each in compared
    ]


def add_no_verdicts(headline: dict[str, object], found: Sequence[NoVerdict]) -> None:
    """Say in a headline.json of which targets nothing is said, and why."""
    if found:
        named = ", ".join(f"{each.target} ({each.reason})" for each in found)
        text = f"{NO_VERDICT} on {counted(len(found), 'target')}: {named}"
        headline["no_verdict"] = text
        said = f"{headline['headline']}; " if headline["results"] else ""
        headline["headline"] = said + text
