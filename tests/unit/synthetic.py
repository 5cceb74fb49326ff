"""A results folder with invented answers, in the formats that the workflow writes."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from matcg import identity, seeds
from matcg.analysis.answers import read_answers
from matcg.analysis.pairs import Study
from matcg.analysis.statistics import Estimate
from matcg.cells import Cell
from matcg.config.protocol import Protocol
from matcg.data import leak_audit as audit
from matcg.data.leaks import write_leaks
from matcg.forms.boxes import FORM as BOXES
from matcg.forms.choice import ANSWER_SCHEMA
from matcg.plan.records import Reduced, read_places, read_plan, tags
from matcg.report.page import page as html
from matcg.report.tables.compare import Wanted, compare
from matcg.report.tables.table import Table, read_cells
from matcg.samples import Finding, Sample, labelled, write_samples
from matcg.tsv import write_tsv

T = TypeVar("T")

EXPERIMENT = "experiments/demo"
PLAN = f"{EXPERIMENT}/plan"

PLAN_COLUMNS = (
    *("experiment", "catalog", "target", "rule", "combination", "arm"),
    *("backbone", "recipe", "seed", "mix", "run", "n_train", "mixed_in", "label", "draw", "asked"),
)
ELEMENTS = {
    "modality": ("ct", "mri", "xray"),
    "area": ("brain", "lung", "knee"),
    "task": ("state", "side", "level"),
}
OPTIONS = ("normal", "mass", "fluid", "fracture")
TRAINED = "0" * 64  # what the answers of a run say that it was when they were given


@dataclass
class World:
    """What the invented experiment looks like; accuracies are those of each arm's answers."""

    targets: tuple[str, ...] = ("ct-brain-state", "mri-lung-side", "xray-knee-level")
    rules: tuple[str, ...] = ("fixed-task", "fixed-modality")
    backbones: tuple[str, ...] = ("tiny",)
    seeds: tuple[int, ...] = (0,)
    sizes: tuple[int, ...] = (600,)
    questions: int = 60
    n_options: int = 4
    own_controls: bool = False
    combinations: int = 1  # of every rule and target
    accuracy: dict[str, float] = field(
        default_factory=lambda: {
            "baseline": 0.25,
            "cg": 0.75,
            "control": 0.4,
            "floor": 0.25,
            "ceiling": 0.9,
        }
    )
    options: tuple[str, ...] = OPTIONS
    question: str = "What does the picture show?"
    protocols: tuple[Protocol, ...] = (Protocol(name="letters"),)
    # Of a protocol, where not those of `accuracy`.
    accuracies: dict[str, dict[str, float]] = field(default_factory=dict)
    unread: float = 0.2  # share of free text that no answer can be read off
    moved: float = 0.3  # share of questions that get a wrong answer in each further order
    even: bool = False  # labels are balanced, where questions divide by options
    boxes: tuple[str, ...] = ()  # targets that are answered with boxes
    digest: str = ""  # ends the names of backbones, recipes, mixes and subsets, if there is one

    def named(self, name: str) -> str:
        """Return the name of a folder or file."""
        return identity.named(name, self.digest) if self.digest else name


def make(results: Path, world: World) -> list[dict[str, str]]:
    """Write plan, answers, test data, metrics and data tables; return the plan's rows."""
    rows = plan_rows(world)
    write_plan(results, world, rows)
    for row in rows:
        write_answers(results, world, row)
        if row["mix"]:
            write_metrics(results / "runs" / run_place(world, row))
    for target in world.targets:
        write_data(data_folder(results, world, target), world, target)
    write_data_tables(results / EXPERIMENT / "data")
    return rows


def run_place(world: World, row: dict[str, str]) -> str:
    """Return the folder of a row's run, below results/runs, and of its answers."""
    parts = ["baseline"]
    if row["mix"]:
        parts = [world.named(row["recipe"]), world.named(row["mix"]), f"seed{row['seed']}"]
    return "/".join([world.named(row["backbone"]), *parts])


def answers_place(world: World, row: dict[str, str], tag: str) -> str:
    """Return the file of a run's answers by one protocol, below results/answers."""
    return f"{run_place(world, row)}/cat/{world.named(row['target'])}{tag}.parquet"


def data_folder(results: Path, world: World, target: str) -> Path:
    return results / "data/cat" / world.named(target)


def write_plan(results: Path, world: World, rows: list[dict[str, str]]) -> None:
    """Write the tables of the experiment's plan, and of the whole plan what the page shows."""
    folder, whole = results / PLAN, results / "plan"
    write_dicts(folder / "experiments.tsv", PLAN_COLUMNS, rows)
    write_dicts(whole / "experiments.tsv", PLAN_COLUMNS, rows)
    (whole / "summary.md").write_text("# Plan\n\n| step | jobs |\n|---|---|\n| mix | 7 |\n")
    mixes = {row["mix"]: row for row in rows if row["mix"]}
    parts = [(mix, name) for mix, row in mixes.items() for name in sources_of(row)]
    write_tsv(folder / "mixes.tsv", ("mix", "subset"), parts)
    names = ("backbone", "recipe", "mix", "seed")
    runs = [
        (*(row[name] for name in names), world.digest, results / "runs" / run_place(world, row))
        for row in rows
        if row["mix"]
    ]
    write_tsv(folder / "runs.tsv", (*names, "digest", "path"), runs)
    asked = [
        (
            *(row["backbone"], "cat", row["target"], row["run"] + tag),
            results / "answers" / answers_place(world, row, tag),
        )
        for protocol, row in product(world.protocols, rows)
        for tag in tags(protocol)
    ]
    head = ("backbone", "catalog", "target", "run", "path")
    write_tsv(folder / "evaluations.tsv", head, asked)
    subsets = [("cat", t, world.digest, data_folder(results, world, t)) for t in world.targets]
    write_tsv(folder / "subsets.tsv", ("catalog", "subset", "digest", "path"), subsets)
    left_out = ("demo", "cat", "ct-brain-state", "fixed-task", "cg", "2 of 3 not chosen")
    head = ("experiment", "catalog", "target", "rule", "arm", "reason")
    write_tsv(folder / "excluded.tsv", head, [left_out])


def sources_of(row: dict[str, str]) -> list[str]:
    """Return what a row trains on: for CG two subsets that share elements with the target."""
    m, a, t = row["target"].split("-")
    m2, a2, t2 = (
        values[(values.index(value) + 1) % 3]
        for value, values in zip((m, a, t), ELEMENTS.values(), strict=True)
    )
    if row["arm"] != "cg":
        return [f"{m2}-{a2}-{t2}"]
    return [f"{m}-{a2}-{t}", f"{m2}-{a}-{t}" if row["rule"] == "fixed-task" else f"{m}-{a}-{t2}"]


def catalog() -> dict[str, object]:
    """Return the elements of every subset there is, as the rule of the figures gives them."""
    subsets = {
        "-".join(values): {
            "kind": "classification",
            "elements": {name: [value] for name, value in zip(ELEMENTS, values, strict=True)},
        }
        for values in product(*ELEMENTS.values())
    }
    return {"elements": list(ELEMENTS), "subsets": subsets}


def plan_rows(world: World) -> list[dict[str, str]]:
    """Return the plan of `world`: shared arms once a target, cg once a rule.

    Its first protocol, of one draw, is that of the comparison.
    """
    own = ("control", world.own_controls)
    (tag,) = tags(world.protocols[0])
    rows = [
        _plan_row(backbone, target, arm, rule, size, seed, number)
        for backbone, target, arm in product(world.backbones, world.targets, world.accuracy)
        for rule in (world.rules if of_combinations(arm) or (arm, True) == own else ("",))
        for number in range(world.combinations if of_combinations(arm) else 1)
        for size in ((0,) if arm == "baseline" else world.sizes)
        for seed in (world.seeds[:1] if arm == "baseline" else world.seeds)
    ]
    return [row | {"asked": row["run"] + tag} for row in rows]


def of_combinations(arm: str) -> bool:
    """Tell whether an arm has a run for each combination: CG, its knock-outs and its parts."""
    return arm == "cg" or arm.startswith(("without-", "part-"))


def reduced_of(rows: list[dict[str, str]]) -> list[Reduced]:
    """Return what the plan says of knock-outs and parts, by the names of their arms."""
    shared = " ".join(ELEMENTS)
    kinds = {"without-": "knock-out", "part-": "part"}
    return [
        Reduced(
            *(row["target"], row["rule"], row["combination"], row["arm"]),
            kind=kind,  # type: ignore[arg-type]
            element=row["arm"].rpartition("-")[2],
            shared=shared,
            sources="",
        )
        for row in rows
        for start, kind in kinds.items()
        if row["arm"].startswith(start)
    ]


def _plan_row(
    backbone: str, target: str, arm: str, rule: str, size: int, seed: int, number: int
) -> dict[str, str]:
    more = f" {number + 1}" if number else ""
    mix = "" if arm == "baseline" else f"{arm}-{rule}{more.strip()}-{target}.{size}-s0"
    return {
        "experiment": "demo",
        "catalog": "cat",
        "target": target,
        "rule": rule,
        "combination": f"{target}-a + {target}-b ({rule}{more})" if rule else "",
        "arm": arm,
        "backbone": backbone,
        "recipe": "full",
        "seed": str(seed),
        "mix": mix,
        "run": f"full/{mix}/seed{seed}" if mix else "baseline",
        "n_train": str(size),
        "mixed_in": "0",
        "label": "",
        "draw": "0",
    }


def write_dicts(path: Path, columns: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(buffer.getvalue(), encoding="utf-8")


def write_answers(results: Path, world: World, row: dict[str, str]) -> None:
    """Write a run's answers, a file a protocol, with the accuracy of its arm."""
    for protocol in world.protocols:
        accuracy = world.accuracies.get(protocol.name, world.accuracy)[row["arm"]]
        for tag in tags(protocol):
            place = answers_place(world, row, tag)
            answered = _boxes if row["target"] in world.boxes else _answers
            table = answered(world, row["target"], row["run"] + tag, accuracy, protocol)
            told = {"place": place, "trained": TRAINED * bool(row["mix"]), "record": row["arm"]}
            path = results / "answers" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.cast(labelled(table.schema, told)), path)


def truth_of(world: World, target: str) -> np.ndarray:
    """Return the right answers to a target's questions."""
    rng = np.random.default_rng(seeds.derive(0, target))
    if world.even:
        return rng.permutation(np.arange(world.questions) % world.n_options)
    return rng.integers(world.n_options, size=world.questions)


def _answers(world: World, target: str, run: str, accuracy: float, protocol: Protocol) -> pa.Table:
    n, options = world.questions, world.n_options
    truth = truth_of(world, target)
    rng = np.random.default_rng(seeds.derive(1, run, target))
    right = rng.random(n) < accuracy
    wrong = (truth + rng.integers(1, options, size=n)) % options
    predicted = np.where(right, truth, wrong)
    rest = 0.3 / (options - 1)
    columns = {
        "run": [run] * n,
        "sample_id": sample_ids(target, n),
        "n_options": [world.n_options] * n,
        "answer": truth,
        "strict": rng.random(n) < 0.95,
        "mass": rng.uniform(0.9, 1.0, n).astype(np.float32),
    }
    if protocol.scoring == "generate":
        predicted = np.where(rng.random(n) < world.unread, -1, predicted)
    further = range(1, min(protocol.permutations, options))
    orders = [np.where(rng.random(n) < world.moved, wrong, predicted) for _ in further]
    columns |= {
        "predicted": predicted,
        "correct": predicted == truth,
        "probabilities": [
            [1 / options if p < 0 else 0.7 if k == p else rest for k in range(options)]
            for p in predicted
        ],
        "verdicts": np.stack([predicted, *orders], axis=1).tolist(),
    }
    return pa.table([columns[name] for name in ANSWER_SCHEMA.names], schema=ANSWER_SCHEMA)


def findings_of(world: World, target: str) -> list[tuple[Finding, ...]]:
    """Return what is to be found in the pictures of a target: one box, or none in every fourth."""
    rng = np.random.default_rng(seeds.derive(4, target))
    corners = rng.integers(0, 10, size=(world.questions, 2)).tolist()
    found = [(Finding("mass", (x, y, x + 8.0, y + 8.0)),) for x, y in corners]
    return [() if place % 4 == 3 else each for place, each in enumerate(found)]


def _boxes(world: World, target: str, run: str, accuracy: float, protocol: Protocol) -> pa.Table:
    """Return answers that have the right box as often as `accuracy` says, else a fixed one."""
    del protocol
    rng = np.random.default_rng(seeds.derive(1, run, target))
    rows = []
    for sample in samples_of(world, target):
        right = rng.random() < accuracy
        given = sample.findings if right else (Finding("mass", (0.0, 0.0, 6.0, 6.0)),)
        said = {"true": [*map(asdict, sample.findings)], "given": [*map(asdict, given)]}
        said |= {"run": run, "sample_id": sample.sample_id, "ill_formed": 1 - right, "text": ""}
        rows.append(said | BOXES.score(sample, said))
    return pa.Table.from_pylist(rows, schema=BOXES.columns)


def sample_ids(target: str, n: int) -> list[str]:
    return [f"{target}-test-{index:05d}" for index in range(n)]


def write_data(folder: Path, world: World, target: str) -> None:
    """Write a target's test questions with pictures of noise."""
    write_samples(folder / "test.parquet", samples_of(world, target), world.digest)


def samples_of(world: World, target: str) -> list[Sample]:
    """Return a target's test questions with pictures of noise."""
    truth, findings = truth_of(world, target), findings_of(world, target)
    located = {"form": "boxes", "size": (24, 24)}
    samples = []
    for place, sample_id in enumerate(sample_ids(target, world.questions)):
        answer = truth[place]
        more = located | {"findings": findings[place]} if target in world.boxes else {}
        pixels = np.random.default_rng(seeds.derive(2, sample_id)).integers(0, 255, (24, 24, 3))
        image = Image.fromarray(pixels.astype(np.uint8))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        samples.append(
            Sample(
                sample_id=sample_id,
                subset=target,
                image=buffer.getvalue(),
                fingerprint="",
                origin=f"{sample_id}.png",
                question=world.question,
                options=world.options[: world.n_options],
                answer=int(answer),
                label=world.options[int(answer)],
                dataset="invented",
                **more,
            )
        )
    return samples


def write_data_tables(folder: Path) -> None:
    write_dicts(
        folder / "summary.tsv",
        ("catalog", "subset", "train", "test"),
        [{"catalog": "cat", "subset": "ct-brain-state", "train": "600", "test": "60"}],
    )
    write_dicts(
        folder / "quarantine.tsv",
        ("catalog", "subset", "file", "row", "reason", "image"),
        [
            {
                "catalog": "cat",
                "subset": "ct-brain-state",
                "file": "a.json",
                "row": str(row),
                "reason": "answer 'x' is not among the options",
                "image": "a.png",
            }
            for row in range(3)
        ],
    )
    write_leaks(folder / "leaks.tsv", [])
    uses = [("cat", "ct-brain-state", "m", "drop", 60, 0, 0, 0, 0, "")]
    write_tsv(folder / "audit.tsv", audit.COLUMNS, uses)


def write_metrics(folder: Path, steps: int = 12) -> None:
    """Write a falling loss curve whose noise depends on the folder's name."""
    rng = np.random.default_rng(seeds.derive(3, folder.parent.name, folder.name))
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "step": step,
            "loss": round(float(2 / (1 + step) + rng.uniform(0, 0.1)), 4),
            "lr": 1e-4,
            "samples_per_s": 60.0,
        }
        for step in range(steps)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)


def tabulate(results: Path, **options: Any) -> Path:
    """Compare the arms of the experiment; return its folder."""
    out = results / EXPERIMENT
    compare(results / PLAN, Wanted("demo", **options), out)
    return out


def rows(folder: Path, table: Table[Any]) -> list[dict[str, Cell]]:
    """Return the cells of a table below an experiment's folder."""
    return read_cells(folder / "tables", table)


def only(cells: Iterable[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    """Return the one row with these cells."""
    found = [row for row in cells if all(row[name] == value for name, value in wanted.items())]
    assert len(found) == 1, f"{wanted} found {len(found)} times"
    return found[0]


def blank(kind: type[T], **given: Any) -> T:
    """Return a record with what is given, and None in its other fields."""
    return kind(**{each.name: given.get(each.name) for each in fields(kind)})  # type: ignore[arg-type]


def about(value: float, by: float = 0.0) -> Estimate:
    """Return an estimate whose interval reaches so far to both sides."""
    return Estimate(value, value - by, value + by)


def write_page(results: Path, name: str = "report.html", **options: Any) -> Path:
    """Write the page of the experiment; return its path."""
    out = results / name
    html.write_report({"demo": results / EXPERIMENT}, results / "plan", out, **options)
    return out


def study_of(results: Path) -> Study:
    """Return the planned rows of the experiment with their answers."""
    rows = read_plan(results / PLAN, "demo")
    return Study(rows, read_answers(read_places(results / PLAN), rows))


def files_of(results: Path, target: str, backbone: str = "tiny") -> dict[str, Path]:
    """Return the files of the answers to a target's questions by what they are named."""
    places = read_places(results / PLAN)
    return {name: path for (*key, name), path in places.items() if key == [backbone, "cat", target]}


def table_of(results: Path, target: str, backbone: str = "tiny") -> pa.Table:
    """Return all answers to a target's questions."""
    return pa.concat_tables(map(pq.read_table, files_of(results, target, backbone).values()))
