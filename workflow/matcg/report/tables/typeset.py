"""Tables as papers set them: columns in groups, rows in blocks, notes below; Markdown and LaTeX."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Widths are counted in digits: a page of A4 with margins of 2 cm holds so many in \\scriptsize.
UPRIGHT, TURNED = 135, 200
WIDEST = 24  # of a column of text, which breaks its lines there
_GAP = 2


LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """Columns under one heading; without headings of their own they are one column."""

    header: str
    columns: tuple[str, ...] = ()
    numeric: bool = True

    @property
    def size(self) -> int:
        """Return the number of columns."""
        return max(1, len(self.columns))


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Rows under one heading, which may be empty."""

    heading: str
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Typeset:
    """A table for readers: cells are texts, one a column."""

    title: str
    groups: Sequence[ColumnGroup]
    blocks: Sequence[RowBlock]
    notes: Sequence[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Return the number of columns."""
        return sum(group.size for group in self.groups)


def markdown(sheet: Typeset) -> str:
    """Return a table a block, below its heading."""
    names = [
        f"{group.header}, {column}" if column else group.header
        for group in sheet.groups
        for column in group.columns or ("",)
    ]
    numeric = [group.numeric for group in sheet.groups for _ in _each(group)]
    rules = ["---:" if number else "---" for number in numeric]
    parts = [markdown_escaped(sheet.title)]
    for block in sheet.blocks:
        if block.heading:
            parts.append(f"**{markdown_escaped(block.heading)}**")
        lines = [_line(map(markdown_escaped, names)), _line(rules)]
        for row in block.rows:
            cells = zip(row, numeric, strict=True)
            lines.append(_line(text if n else markdown_escaped(text) for text, n in cells))
        parts.append("\n".join(lines))
    parts += [markdown_escaped(note) for note in sheet.notes]
    return "\n\n".join(parts) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _each(group: ColumnGroup) -> range:
    return range(group.size)


def latex(sheet: Typeset, fitted: bool = True) -> str:
    """Return a longtable, which breaks over pages; with `fitted` turned or small where it is wide.

    Needs the packages that its first line names.
    """
    widths = _widths(sheet)
    needed = sum(widths) + _GAP * len(widths)
    size = r"\tiny" if needed > TURNED else r"\scriptsize"
    numeric = [group.numeric for group in sheet.groups for _ in _each(group)]
    alignment = "".join(
        "r" if number else _text_column(width, size) if fitted else "l"
        for number, width in zip(numeric, widths, strict=True)
    )
    head = [r"\toprule", *_headers(sheet), r"\midrule"]
    lines = [
        rf"\begin{{longtable}}{{@{{}}{alignment}@{{}}}}",
        rf"\caption{{{latex_escaped(sheet.title)}}} \\",
        *head,
        r"\endfirsthead",
        *head,
        r"\endhead",
        r"\bottomrule",
        r"\endlastfoot",
        *_body(sheet),
        r"\end{longtable}",
        *(rf"\noindent {latex_escaped(note)}\par" for note in sheet.notes),
    ]
    if fitted:
        start = rf"\begingroup{size}\setlength{{\tabcolsep}}{{3pt}}"
        lines = [start, *lines, r"\endgroup"]
    if fitted and needed > UPRIGHT:
        lines = [r"\begin{landscape}", *lines, r"\end{landscape}"]
    packages = "array,booktabs,longtable,lscape" if fitted else "booktabs,longtable"
    return "\n".join([rf"% \usepackage{{{packages}}}", *lines]) + "\n"


def _widths(sheet: Typeset) -> list[int]:
    """Return how many digits each column needs."""
    heads = [text for group in sheet.groups for text in group.columns or (group.header,)]
    numeric = [group.numeric for group in sheet.groups for _ in _each(group)]
    columns = zip(heads, *(row for block in sheet.blocks for row in block.rows), strict=True)
    longest = [max(map(len, column)) for column in columns]
    return [n if number else min(n, WIDEST) for n, number in zip(longest, numeric, strict=True)]


def _text_column(width: int, size: str) -> str:
    if width < WIDEST:
        return "l"
    # A digit is half as wide as the letters are high.
    points = WIDEST * (2.5 if size == r"\tiny" else 3.5)
    return rf">{{\raggedright\arraybackslash}}p{{{points:g}pt}}"


def _headers(sheet: Typeset) -> list[str]:
    """Return the row of groups, the rules below them, and the row of columns where there is one."""
    if not any(group.columns for group in sheet.groups):
        return [_row(group.header for group in sheet.groups)]
    over: list[str] = []
    rules: list[str] = []
    under: list[str] = []
    start = 1
    for group in sheet.groups:
        header = latex_escaped(group.header)
        if group.columns:
            over.append(rf"\multicolumn{{{group.size}}}{{c}}{{{header}}}")
            rules.append(rf"\cmidrule(lr){{{start}-{start + group.size - 1}}}")
        else:
            over.append("")
        under += map(latex_escaped, group.columns or (group.header,))
        start += group.size
    return [" & ".join(over) + r" \\", " ".join(rules), " & ".join(under) + r" \\"]


def _body(sheet: Typeset) -> list[str]:
    lines: list[str] = []
    for block in sheet.blocks:
        if block.heading:
            lines += [r"\addlinespace"] if lines else []
            heading = latex_escaped(block.heading)
            lines.append(rf"\multicolumn{{{sheet.size}}}{{@{{}}l}}{{\textit{{{heading}}}}} \\")
        lines += [_row(row) for row in block.rows]
    return lines


def _row(cells: Iterable[str]) -> str:
    return " & ".join(map(latex_escaped, cells)) + r" \\"


def markdown_escaped(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    for character in "\\`*_|<>[]":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def latex_escaped(text: str) -> str:
    """Return text that LaTeX prints as it is; a leading bracket is no option of the line break."""
    escaped = "".join(LATEX_ESCAPES.get(character, character) for character in text)
    return f"{{}}{escaped}" if escaped.startswith("[") else escaped


def write_texts(folder: Path, stem: str, csv: str, sheet: Typeset, fitted: bool = True) -> None:
    """Write a table's CSV, and its sheet as Markdown and LaTeX."""
    folder.mkdir(parents=True, exist_ok=True)
    for ending, text in {"csv": csv, "md": markdown(sheet), "tex": latex(sheet, fitted)}.items():
        (folder / f"{stem}.{ending}").write_text(text, encoding="utf-8", newline="\n")
