"""The report: one HTML file that needs nothing but itself.

All text passes Jinja's escaping, or goes through JSON into text nodes (report.js); a content
security policy forbids whatever is not in the file.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from matcg.analysis.clusters import Folders
from matcg.analysis.missing import read_study
from matcg.config.arm import CG
from matcg.errors import DataError
from matcg.plan.records import read_folders, read_places, read_plan, read_runs
from matcg.provenance import code_digest
from matcg.report.figures import all as figures
from matcg.report.figures.grid import read_grids
from matcg.report.page import provenance
from matcg.report.page.embed import embedded
from matcg.report.page.leaks import view_leaks
from matcg.report.page.listing import Listing, list_cells, list_csv, list_tsv
from matcg.report.page.questions import ByteBudget, ImageBudget, QuestionView, view_questions
from matcg.report.tables import declared
from matcg.report.tables.composition import STEM, composition_in
from matcg.report.tables.table import Table

_FOLDER = Path(__file__).parent
IMAGE_BYTES = 8_000_000
QUESTION_BYTES = 5_000_000
FIGURE_BYTES = 2_000_000
GRID_BYTES = 6_000_000
DATA_TABLES = (
    ("Subsets", "summary"),
    ("Images", "images"),
    ("Findings cut off", "cut"),
    ("Pictures of which one is cut off", "cut_pictures"),
)
_QUARANTINE = "quarantine"
LEAK_TABLES = (
    ("Of every mix and target", "audit"),
    ("Between source datasets", "overlaps"),
    ("Every pair", "leaks"),
)
ASKED = "protocols"  # the figure that stands beside the tables of how questions were asked
CAPTIONS = {
    ASKED: "Accuracy of every arm by protocol, with 95 % intervals and chance.",
    "composition": "What CG has more than unrelated data, than its knock-outs, than its best part.",
    "coverage": "Accuracy by the elements that training covered, and each one's part in the gain.",
    "difference": "CG minus control of every combination, with 95 % bootstrap intervals, by rule.",
    "arms": "Accuracy of every arm on each target, with chance.",
    "scaling": "Accuracy of every choice of training data on each target, with 95 % intervals.",
    "sizes": "Accuracy against the number of training samples; bands are 95 % intervals.",
    "mixed": "Accuracy against samples of the target in training; bands are 95 % intervals.",
    "heatmap": "CG minus control over the grid of elements, or over targets and rules.",
    "letters": "How often each letter is right and is answered, and accuracy where it is right.",
    "calibration": "Accuracy against confidence, the answered letter's probability among letters.",
    "loss": "Training loss of every run, or its spread, and their median.",
}


@dataclass(frozen=True, slots=True)
class AskedView:
    """How questions were asked: what it comes to in words, a figure or none, tables by name."""

    sentences: Sequence[str]
    figures: Sequence[tuple[str, str, str]]
    tables: Mapping[str, Listing]


@dataclass
class ExperimentView:
    """All that the report shows of one experiment; `folder` has its results."""

    name: str
    folder: Path
    headline: str
    results: Sequence[Mapping[str, Any]]
    tables: Mapping[str, Listing]
    figures: Sequence[tuple[str, str, str]]
    grids: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    grids_left_out: int = 0
    agreement: Mapping[str, Any] = field(default_factory=dict)
    without_leaks: Mapping[str, Any] = field(default_factory=dict)
    not_seen: Mapping[str, Any] = field(default_factory=dict)
    no_verdict: str = ""
    asked: AskedView | None = None
    questions: QuestionView | None = None
    questions_of: str = ""


def write_report(
    experiments: Mapping[str, Path],
    plan: Path,
    out: Path,
    config: Mapping[str, Any] | None = None,
    world: Path | None = None,
) -> None:
    """Write the report on `experiments`, by name with their folders, to `out`.

    `plan` is the folder of the whole plan. `config` is shown as it is in the provenance, and
    `world` the picture of the phantom world. Links to files are relative to the folder of `out`, in
    which all lies.

    Raises:
        DataError: an experiment has no tables, or the answers do not fit the questions.
    """
    images, text = ImageBudget(IMAGE_BYTES), ByteBudget(QUESTION_BYTES)
    results, data = out.parent, [folder / "data" for folder in experiments.values()]
    known = [read_folders(folder / "plan") for folder in experiments.values()]
    # Few pictures, and those by which false alarms are seen: before the questions take the rest.
    leaks = view_leaks(data, {k: v for each in known for k, v in each.items()}, images)
    views = [_experiment(results, name, folder) for name, folder in experiments.items()]
    for index, view in enumerate(views):
        _add_grids(view, GRID_BYTES // len(views))
        _add_questions(view, known[index], images, text, len(views) - index)
    inside = embedded()

    def listed(name: str) -> Listing | None:
        return list_tsv(results, [folder / f"{name}.tsv" for folder in data])

    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            experiments=views,
            world=_image(world) if world else "",
            plan=_markdown_blocks(plan / "summary.md"),
            excluded=list_tsv(
                results, [folder / "plan/excluded.tsv" for folder in experiments.values()]
            ),
            leaks=leaks,
            leak_tables=[(title, listed(name)) for title, name in LEAK_TABLES],
            data=[(title, listed(name)) for title, name in DATA_TABLES],
            quarantine=listed(_QUARANTINE),
            provenance=_provenance(experiments, plan, config),
            inside=inside,
        )
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8", newline="\n")


@cache  # a template is compiled once a process
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _experiment(results: Path, name: str, folder: Path) -> ExperimentView:
    try:
        headline = json.loads((folder / "headline.json").read_text(encoding="utf-8"))
        tables = {
            table.stem: list_csv(results, folder / "tables", table)
            for table in (declared.SUMMARY, declared.COMPARISON, declared.ACCURACY)
        }
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: not found; compare experiment '{name}' first") from None
    scores: tuple[Table[Any], ...] = (
        declared.LOCALISATION,
        declared.UNBALANCED_SUMMARY,
        declared.UNBALANCED,
    )
    known: tuple[Table[Any], ...] = (declared.SUMMARY, declared.COMPARISON, *scores)
    further: tuple[Table[Any], ...] = (declared.COVERAGE, *scores)
    for table in (*further, *map(declared.without_leaks, known)):
        if (folder / "tables" / f"{table.stem}.csv").exists():
            tables[table.stem] = list_csv(results, folder / "tables", table)
    if published := declared.published_in(folder / "tables"):
        tables[published.stem] = list_csv(results, folder / "tables", published)
    for stem in (STEM, f"{STEM}_without_leaks"):
        if composed := composition_in(folder / "tables", stem):
            tables[stem] = list_csv(results, folder / "tables", composed)
    if headline.get("no_verdict"):
        tables[declared.NO_VERDICT.stem] = list_csv(results, folder / "tables", declared.NO_VERDICT)
    if headline.get("missing"):
        tables[declared.MISSING.stem] = list_csv(results, folder / "tables", declared.MISSING)
    shown = _figures(folder / "figures", name, [stem for stem in figures.NAMES if stem != ASKED])
    view = ExperimentView(name, folder, headline["headline"], headline["results"], tables, shown)
    view.asked = _asked(results, folder, name, headline.get("asked", ()))
    view.agreement = headline.get("published", {})
    view.without_leaks = headline.get("without_leaks", {})
    view.not_seen = headline.get("not_seen_before", {})
    view.no_verdict = headline.get("no_verdict", "")
    return view


def _asked(results: Path, folder: Path, name: str, sentences: Sequence[str]) -> AskedView | None:
    """Return how questions were asked, None where there is nothing but letters."""
    tables = {
        table.stem: list_csv(results, folder / "tables", table)
        for table in (declared.PROTOCOLS, declared.LOOKING, declared.ORDERS)
        if (folder / "tables" / f"{table.stem}.csv").exists()
    }
    drawn = _figures(folder / "figures", name, [ASKED])
    return AskedView(sentences, drawn, tables) if tables or drawn else None


def _add_questions(
    view: ExperimentView, folders: Folders, images: ImageBudget, text: ByteBudget, parts: int
) -> None:
    """Show questions of the first setting that tests combinations, else of the first."""
    plan = view.folder / "plan"
    rows = read_plan(plan, view.name)
    study = read_study(rows, read_places(plan), declared.MISSING.stem in view.tables)
    settings = study.settings()
    if not settings:
        return
    setting = next((one for one in settings if study.arm(one, CG)), settings[0])
    view.questions = view_questions(study, setting, folders, images, text, parts)
    if len(settings) > 1:
        view.questions_of = ", ".join(str(part) for part in setting if part)


def _add_grids(view: ExperimentView, limit: int) -> None:
    """Show the first grid of every target before any further ones, until `limit` is spent."""
    folder, plan = view.folder / "figures", view.folder / "plan"
    grids = {grid.target: list(grid.pages) for grid in read_grids(plan, view.name)}
    names = [(page, target, name) for target in grids for page, name in enumerate(grids[target])]
    budget = ImageBudget(limit)
    found: dict[str, list[tuple[str, str]]] = {target: [] for target in grids}
    for _, target, name in sorted(names):
        uri = budget.take(_figure(folder / f"{name}.svg"))
        if uri:
            found[target].append((f"{view.name}: {name}", uri))
    view.grids = {target: shown for target, shown in found.items() if shown}
    view.grids_left_out = budget.left_out


def _figures(folder: Path, name: str, stems: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return name, data URI and caption of every figure there is."""
    return [
        (f"{name}: {path.stem}", uri, _caption(stem, path.stem))
        for stem in stems
        # Those of other scores than accuracy follow.
        for path in sorted(folder.glob(f"{stem}*.svg"), key=lambda path: path.stem)
        if (uri := _figure(path))
    ]


def _caption(stem: str, name: str) -> str:
    """Return what a figure shows; of other scores than accuracy chance is not known."""
    caption = CAPTIONS[stem]
    if name == stem:
        return caption
    for ending in (", with chance", " and chance"):
        caption = caption.replace(ending, "")
    return caption.replace("Accuracy", "Mean score")


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
            blocks.append(("table", list_cells(cells[0], cells[2:])))
        else:
            blocks.append(("text", part))
    return blocks


def _provenance(
    experiments: Mapping[str, Path], plan: Path, config: Mapping[str, Any] | None
) -> dict[str, str]:
    folders = [folder / "plan" for folder in experiments.values()]
    runs = [(key[0], path) for each in map(read_runs, folders) for key, path in each.items()]
    records = provenance.run_records(runs)
    answers = {path for folder in folders for path in read_places(folder).values()}
    engines = provenance.engine_records(answers)
    made = [engine for engine in engines if "code" in engine]
    table = (plan / "experiments.tsv").read_bytes()
    parts = {
        "Versions": _yaml(provenance.versions()),
        "Commit": provenance.commit(),
        "Digest of the code": code_digest(),
        "Digest of the plan": hashlib.sha256(table).hexdigest(),
        "Config": _yaml(config) if config else "",
        "What made the runs": provenance.made_by(list(records.values()), "run"),
        "What made the answers": provenance.made_by(made, "job"),
        "Engines that answered": provenance.engine_times(engines),
        "First run of each backbone": _yaml(provenance.first_runs(records)) if records else "",
    }
    return {title: text for title, text in parts.items() if text}


def _yaml(data: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(json.loads(json.dumps(data)), sort_keys=False, allow_unicode=True)
    return text.strip()
