"""The records of a plan, the names of answers, and the tables that records are kept in.

Answers are named after the run that gave them and the protocol that it was asked by:
`run@protocol.draw`, as in `lora/a.600-s0-1a2b3c4d/seed0@two-shot.1`. A name without protocol is of
`letters`, one without draw of a protocol that draws no examples more than once.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from matcg import identity, tsv, versions
from matcg.config.protocol import DEFAULT_PROTOCOL, Protocol
from matcg.errors import DataError, nearest

BASELINE = "baseline"  # the run of the untouched backbone, and the arm that is nothing else

# The columns of tables that say where something lies, beside the records themselves.
MIXES = (
    *("mix", "catalog", "subset", "n", "seed", "labels", "repeat", "leaky", "forbidden"),
    *("digest", "path"),
)
RUNS = ("backbone", "recipe", "mix", "seed", "digest", "path")
EVALUATIONS = ("backbone", "catalog", "target", "run", "path")
SUBSETS = ("catalog", "subset", "digest", "path")

# What names an evaluation: backbone, catalog, target, and the name of its answers.
Key = tuple[str, str, str, str]


# --- Names of answers ----------------------------------------------------------------------------


def tags(protocol: Protocol) -> tuple[str, ...]:
    """Return what the names of answers by a protocol end in, one a draw of examples."""
    if protocol.name == DEFAULT_PROTOCOL:
        return ("",)
    if protocol.draws == 1:
        return (f"@{protocol.name}",)
    return tuple(f"@{protocol.name}.{draw}" for draw in range(protocol.draws))


def run_of(name: str) -> str:
    """Return the run in the name of answers, or the target in the name of their file."""
    return name.partition("@")[0]


def tag_of(name: str) -> str:
    """Return what the name of answers ends in (`tags`)."""
    return name[len(run_of(name)) :]


def protocol_of(name: str) -> str:
    """Return the protocol's name in the name of answers, or in its end."""
    return name.partition("@")[2].partition(".")[0] or DEFAULT_PROTOCOL


def draw_of(name: str) -> int:
    """Return the number of the draw of examples in the name of answers, or in its end."""
    return int(tag_of(name).partition(".")[2] or 0)


# --- Records -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Mix:
    """A training set: how many samples of which subsets, drawn with a seed, labelled how.

    `repeat`: a subset that has fewer samples than asked gives some of them more than once. `leaky`:
    pictures that a target of this mix is tested on stay in it; else those of `targets`, all that
    its experiment tests on it, are left out. So is what one of its experiment's backbones is not
    asked (models/lengths.py): `measured` has their names in paths. `digest` says what it is made of
    (`digest_of`).
    """

    id: str
    catalog: str
    parts: tuple[tuple[str, int], ...]
    seed: int
    labels: Literal["true", "shuffled"]
    repeat: bool = False
    leaky: bool = False
    targets: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    digest: str = ""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Mix":
        """Return the mix that was written as JSON."""
        parts = tuple((name, n) for name, n in plain["parts"])
        lists = {name: tuple(plain[name]) for name in ("targets", "measured")}
        return cls(**{**plain, "parts": parts, **lists})

    def digest_of(self, parts: Mapping[str, str], targets: Mapping[str, str]) -> str:
        """Return what decides it, by the digests of its subsets and of its targets.

        Pictures that a target is tested on are left out of it, unless it is `leaky`.
        """
        known = [self.catalog, self.parts, self.seed, self.labels, self.repeat, self.leaky]
        known += [list(self.measured)]
        return identity.digest(
            versions.MIX, known, dict(parts), {} if self.leaky else dict(targets)
        )

    @property
    def name(self) -> str:
        """Return the name of its file: equal mixes of equal data have one, whoever asks."""
        return f"{self.id}-{self.digest}"

    @property
    def total(self) -> int:
        """Return the number of training samples."""
        return sum(n for _, n in self.parts)


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """One fine-tuning; `place` is its folder below its backbone's, digests included."""

    backbone: str
    recipe: str
    mix: str
    seed: int
    place: str = ""

    @property
    def key(self) -> str:
        """Return `{recipe}/{mix}/seed{n}`, which names it among the runs of an experiment."""
        return f"{self.recipe}/{self.mix}/seed{self.seed}"


@dataclass(frozen=True, slots=True, order=True)
class Evaluation:
    """A run of a backbone that answers one target's questions by one protocol.

    `asked` names its answers. `run` is the folder of the run's answers below its backbone's,
    `place` their file: digests are in both.
    """

    backbone: str
    catalog: str
    target: str
    asked: str
    run: str = ""
    place: str = ""

    @property
    def protocol(self) -> str:
        """Return the name of the protocol."""
        return protocol_of(self.asked)


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """What a run is for: one arm of one experiment on one target. Rule empty: a shared arm.

    `n_train` is the size that was asked for; of it `mixed_in` samples are the target's, in every
    arm alike. `draw` numbers the training sets of an arm that has several, or the draws of the
    examples that it is shown. `asked` names the answers. Where nothing was trained, recipe and seed
    are those of the experiment and mean nothing.
    """

    experiment: str
    catalog: str
    target: str
    rule: str
    combination: str
    arm: str
    backbone: str
    recipe: str
    seed: int
    mix: str
    run: str
    n_train: int
    mixed_in: int = 0
    label: str = ""
    draw: int = 0
    asked: str = ""

    @property
    def key(self) -> Key:
        """Return what names the evaluation."""
        return (self.backbone, self.catalog, self.target, self.asked)

    @property
    def trained(self) -> bool:
        """Tell whether a run is asked, and not the untouched backbone."""
        return self.run != BASELINE

    @property
    def protocol(self) -> str:
        """Return the name of the protocol."""
        return protocol_of(self.asked)


@dataclass(frozen=True, slots=True, order=True)
class Excluded:
    """What is not run although it could be thought to be, and why."""

    experiment: str
    catalog: str
    target: str
    rule: str
    arm: str
    reason: str


@dataclass(frozen=True, slots=True, order=True)
class Reduced:
    """An arm's training set that is a CG combination with an element taken out (`knock_outs`).

    `kind` says how, `none` that nothing can be taken out; `shared` are all elements that the
    combination shares with the target, one word each. `sources` are those of the first draw, `note`
    says where it is not what was asked for, `repeated` at which sizes samples stand more than once.
    """

    target: str
    rule: str
    combination: str
    arm: str
    kind: Literal["knock-out", "part", "none"]
    element: str
    shared: str
    sources: str
    note: str = ""
    repeated: str = ""


# --- Reading the tables of a plan, which lie in its folder ---------------------------------------


def read_plan(plan: Path, experiment: str) -> list[Row]:
    """Return the rows of one experiment in the plan's order.

    Raises:
        DataError: a column is absent, a number is not one, or the experiment has no rows.
    """
    path = plan / "experiments.tsv"
    rows = tsv.read_records(path, Row)
    chosen = [row for row in rows if row.experiment == experiment]
    if not chosen:
        names = {row.experiment for row in rows}
        raise DataError(
            f"{path}: no rows of experiment '{experiment}'.{nearest(experiment, names)}"
        )
    return chosen


def read_excluded(plan: Path, experiment: str) -> list[Excluded]:
    """Return what the plan leaves out of one experiment."""
    rows = tsv.read_records(plan / "excluded.tsv", Excluded)
    return [row for row in rows if row.experiment == experiment]


def read_places(plan: Path) -> dict[Key, Path]:
    """Return the file of each planned evaluation's answers."""
    return {
        (row["backbone"], row["catalog"], row["target"], row["run"]): Path(row["path"])
        for row in tsv.read_tsv(plan / "evaluations.tsv")
    }


def read_runs(plan: Path) -> dict[tuple[str, str], Path]:
    """Return the folder of each run by backbone and key."""
    return {
        (row["backbone"], Run("", row["recipe"], row["mix"], int(row["seed"])).key): Path(
            row["path"]
        )
        for row in tsv.read_tsv(plan / "runs.tsv")
    }


def read_mixes(plan: Path) -> dict[str, set[str]]:
    """Return the subsets in each mix."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in tsv.read_tsv(plan / "mixes.tsv"):
        found[row["mix"]].add(row["subset"])
    return dict(found)


def read_folders(plan: Path) -> dict[tuple[str, str], Path]:
    """Return the folder of each prepared subset by catalog and id."""
    rows = tsv.read_tsv(plan / "subsets.tsv")
    return {(row["catalog"], row["subset"]): Path(row["path"]) for row in rows}
