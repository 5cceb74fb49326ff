"""Several findings a picture, asked one at a time, yes or no."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from matcg.config.question_options import Findings
from matcg.data.row_cells import cell_text, is_given, text_of
from matcg.errors import BadRowError

YES_NO = ("yes", "no")


class Asked(NamedTuple):
    """A question with its options, the right one's place, the label, and of which finding it is."""

    question: str
    options: tuple[str, ...]
    place: int
    label: str
    finding: str = ""


def asked_of(question: str, finding: str, there: bool) -> Asked:
    """Return what is asked of a finding; its label says what of, so that tests balance each."""
    said = YES_NO[0] if there else YES_NO[1]
    text = question.replace("{finding}", finding)
    return Asked(text, YES_NO, YES_NO.index(said), f"{finding}: {said}", finding)


def by_finding(row: Mapping[str, Any], findings: Findings) -> Iterator[Asked | BadRowError]:
    """Yield what a row is asked of each finding, and last what it does not tell, as an error."""
    if findings.listed:
        there = set(_listed(row.get(findings.listed), findings)) - findings.none
        if unknown := there - set(findings.names):
            names = ", ".join(sorted(unknown))
            yield BadRowError(f"finding unknown: {names} in {findings.listed}")
            return
        told = {name: name in there for name in findings.names}
    else:
        cells = {name: text_of(row, name) for name in findings.names}
        known = findings.yes | findings.no
        told = {name: cell in findings.yes for name, cell in cells.items() if cell in known}
    for name, present in told.items():
        yield asked_of(findings.question, findings.names[name], present)
    if untold := [name for name in findings.names if name not in told]:
        said = ", ".join(f"{name} '{cells[name]}'" for name in untold)
        yield BadRowError(f"finding neither yes nor no: {said}")


def _listed(cell: Any, findings: Findings) -> Iterable[str]:
    """Return the names in a cell, or raise BadRowError where it has none and does not say so."""
    if not is_given(cell):
        raise BadRowError(f"key missing: {findings.listed}")
    parts = (
        cell
        if isinstance(cell, list)
        else cell_text(cell, findings.listed).split(findings.separator)
    )
    return filter(None, (cell_text(part, findings.listed) for part in parts))
