"""The report: one HTML file that needs nothing but itself.

All text passes Jinja's escaping; a content security policy forbids whatever is not in the file.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from matcg.errors import DataError
from matcg.report import figures, provenance
from matcg.report.answers import BASELINE, read_answers, read_plan
from matcg.report.beside import STEM, beside_table, names_in
from matcg.report.grid import read_grids
from matcg.report.leaks import view_leaks
from matcg.report.questions import KINDS, ImageBudget, TargetQuestions, choose_questions
from matcg.report.render import Cell, Row, Table, read_csv, shown
from matcg.report.study import CG, Study
from matcg.report.tables import ACCURACY, CLEAN, COMPARISON, SUMMARY
from matcg.tsv import read_tsv

__all__ = ["write"]

FOLDER = Path(__file__).parent
IMAGE_BYTES = 8_000_000
FIGURE_BYTES = 2_000_000
GRID_BYTES = 6_000_000
ROWS = 2000
# Columns that are left out where they are empty.
OPTIONAL = ("mixed_in", "label", "printed_gain", "our_gain", "printed_questions", "least_p")
DATA_TABLES = (("Data", "summary"), ("Images", "images"), ("Quarantine", "quarantine"))
LEAK_TABLES = (
    ("Of every mix and target", "audit"),
    ("Between source datasets", "overlaps"),
    ("Every pair", "leaks"),
)
CAPTIONS = {
    "difference": "CG minus control of every combination, with 95 % bootstrap intervals.",
    "arms": "Accuracy of every arm on each target, with chance.",
    "heatmap": "CG minus control over the grid of elements, or over targets and rules.",
    "loss": "Training loss of every run, and their median.",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A table as the template writes it: cells are (text, sort key, CSS class)."""

    header: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[tuple[str, Cell, str]]]
    count: int
    source: str
    note: str = ""


@dataclass
class ExperimentView:
    """All that the report shows of one experiment."""

    name: str
    headline: str
    results: Sequence[Mapping[str, Any]]
    tables: Mapping[str, Shown]
    figures: Sequence[tuple[str, str, str]]
    grids: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    grids_left_out: int = 0
    agreement: Mapping[str, Any] = field(default_factory=dict)
    without_leaks: Mapping[str, Any] = field(default_factory=dict)
    questions: Sequence[TargetQuestions] = field(default_factory=list)
    questions_of: str = ""


def write(
    results: Path,
    experiments: Sequence[str],
    out: Path,
    config: Mapping[str, Any] | None = None,
) -> None:
    """Write the report on `experiments` to `out`; `results` is the results folder.

    `config` is shown as it is in the provenance.

    Raises:
        DataError: an experiment has no tables, or the answers do not fit the questions.
    """
    budget = ImageBudget(IMAGE_BYTES)
    views = [_experiment(results, name, budget) for name in experiments]
    for view in views:
        _add_grids(view, results, GRID_BYTES // len(views))
    style, script = (_source(name) for name in ("report.css", "report.js.j2"))
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            experiments=views,
            left_out=budget.left_out,
            kinds=KINDS,
            world=_image(results / "figures/world.png"),
            plan=_markdown_blocks(results / "plan/summary.md"),
            excluded=_tsv(results, "plan/excluded.tsv"),
            leaks=view_leaks(results / "data", budget),
            leak_tables=[(title, _tsv(results, f"data/{name}.tsv")) for title, name in LEAK_TABLES],
            data=[(title, _tsv(results, f"data/{name}.tsv")) for title, name in DATA_TABLES],
            provenance=_provenance(results, experiments, config),
            style=style,
            script=script,
            policy=_policy(style, script),
        )
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8", newline="\n")


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _source(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Return the policy that lets this style and this script pass, and data URIs as pictures."""
    digests = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digests[0]}'; "
        f"script-src 'sha256-{digests[1]}'; base-uri 'none'; form-action 'none'"
    )


def _experiment(results: Path, name: str, budget: ImageBudget) -> ExperimentView:
    folder = results / "experiments" / name
    try:
        headline = json.loads((folder / "headline.json").read_text(encoding="utf-8"))
        tables = {
            table.stem: _table(results, folder / "tables", table)
            for table in (SUMMARY, COMPARISON, ACCURACY)
        }
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: not found; compare experiment '{name}' first") from None
    for table in (SUMMARY, COMPARISON):
        clean = replace(table, stem=table.stem + CLEAN)
        if (folder / "tables" / f"{clean.stem}.csv").exists():
            tables[clean.stem] = _table(results, folder / "tables", clean)
    path = folder / "tables" / f"{STEM}.csv"
    if path.exists():
        tables[STEM] = _table(results, path.parent, beside_table(names_in(path)))
    view = ExperimentView(
        name, headline["headline"], headline["results"], tables, _figures(folder / "figures", name)
    )
    view.agreement = headline.get("published", {})
    view.without_leaks = headline.get("without_leaks", {})
    _add_questions(view, results, budget)
    return view


def _add_questions(view: ExperimentView, results: Path, budget: ImageBudget) -> None:
    """Show questions of the first setting that tests combinations, else of the first."""
    rows = read_plan(results / "plan/experiments.tsv", view.name)
    study = Study(rows, read_answers(results / "predictions", rows))
    settings = study.settings()
    setting = next((one for one in settings if study.arm(one, CG)), settings[0])
    view.questions = choose_questions(study, setting, results / "data", budget)
    if len(settings) > 1:
        view.questions_of = ", ".join(str(part) for part in setting if part)


def _add_grids(view: ExperimentView, results: Path, limit: int) -> None:
    """Show the first grid of every target before any further ones, until `limit` is spent."""
    folder = results / "experiments" / view.name / "figures"
    grids = {grid.target: list(grid.pages) for grid in read_grids(results / "plan", view.name)}
    names = [(page, target, name) for target in grids for page, name in enumerate(grids[target])]
    budget = ImageBudget(limit)
    found: dict[str, list[tuple[str, str]]] = {target: [] for target in grids}
    for _, target, name in sorted(names):
        uri = budget.take(_figure(folder / f"{name}.svg"))
        if uri:
            found[target].append((f"{view.name}: {name}", uri))
    view.grids = {target: shown for target, shown in found.items() if shown}
    view.grids_left_out = budget.left_out


def _table(results: Path, folder: Path, table: Table) -> Shown:
    path = folder / f"{table.stem}.csv"
    rows = read_csv(path, table.fields)
    columns = [column for column in table.columns if _tells(rows, column.field)]
    return Shown(
        header=[(column.header, column.numeric) for column in columns],
        rows=[
            [(shown(row, column), row[column.field], _css(row, column.field)) for column in columns]
            for row in rows
        ],
        count=len(rows),
        source=path.relative_to(results).as_posix(),
    )


def _tells(rows: Sequence[Row], name: str) -> bool:
    """Tell whether a column says anything: one with the same in every row only widens the table."""
    if name in OPTIONAL:
        return bool(_values(rows, name) - {0, "", None})
    return name not in ("backbone", "recipe", "n_train") or len(_values(rows, name)) > 1


def _values(rows: Iterable[Row], name: str) -> set[Cell]:
    # Untrained rows have no recipe and no samples; that is no difference between settings.
    return {row[name] for row in rows if row.get("run", "") != BASELINE}


def _css(row: Row, name: str) -> str:
    if name == "verdict":
        return {"helps": "good", "hurts": "bad"}.get(str(row[name]), "muted")
    return ""


def _tsv(results: Path, name: str) -> Shown | None:
    """Return a tab-separated file up to a bound that the note states, None where there is none."""
    path = results / name
    if not path.exists():
        return None
    rows = read_tsv(path)
    with path.open(encoding="utf-8") as file:
        names = file.readline().rstrip("\n").split("\t")
    note = f"The first {ROWS} rows; all are in {name}." if len(rows) > ROWS else ""
    return Shown(
        header=[(header, False) for header in names],
        rows=[[(row[header] or "", None, "") for header in names] for row in rows[:ROWS]],
        count=len(rows),
        source=name,
        note=note,
    )


def _figures(folder: Path, name: str) -> list[tuple[str, str, str]]:
    """Return name, data URI and caption of every figure there is."""
    found = []
    for stem in figures.NAMES:
        uri = _figure(folder / f"{stem}.svg")
        if uri:
            found.append((f"{name}: {stem}", uri, CAPTIONS[stem]))
    return found


def _figure(path: Path) -> str:
    """Return a figure as a data URI: its .svg, or its .png where that is too large."""
    if path.exists() and path.stat().st_size > FIGURE_BYTES:
        path = path.with_suffix(".png")
    return _image(path)


def _image(path: Path) -> str:
    """Return a figure as a data URI, empty where there is none or it is beyond the bound."""
    if not path.exists() or path.stat().st_size > 2 * FIGURE_BYTES:
        return ""
    kind = "svg+xml" if path.suffix == ".svg" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _markdown_blocks(path: Path) -> list[tuple[str, Any]]:
    """Return the plan's summary as headings, tables and paragraphs; it uses no other Markdown."""
    if not path.exists():
        return []
    blocks: list[tuple[str, Any]] = []
    for part in re.split(r"\n\s*\n", path.read_text(encoding="utf-8").strip()):
        lines = part.splitlines()
        if part.startswith("#"):
            blocks.append(("heading", part.lstrip("# ")))
        elif part.startswith("|"):
            cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
            blocks.append(("table", [cells[0], *cells[2:]]))
        else:
            blocks.append(("text", part))
    return blocks


def _provenance(
    results: Path, experiments: Sequence[str], config: Mapping[str, Any] | None
) -> dict[str, str]:
    plan = results / "plan/experiments.tsv"
    rows = [row for name in experiments for row in read_plan(plan, name)]
    keys = ((row.backbone, row.run) for row in rows if row.run != BASELINE)
    records = provenance.run_records(results / "runs", keys)
    parts = {
        "Versions": _yaml(provenance.versions()),
        "Commit": provenance.commit(),
        "Digest of the code": provenance.code_digest(),
        "Digest of the plan": hashlib.sha256(plan.read_bytes()).hexdigest(),
        "Config": _yaml(config) if config else "",
        "First run of each backbone": _yaml(records) if records else "",
    }
    return {title: text for title, text in parts.items() if text}


def _yaml(data: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(json.loads(json.dumps(data)), sort_keys=False, allow_unicode=True)
    return text.strip()
