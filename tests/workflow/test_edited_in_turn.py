"""After any sequence of edits, in a folder with all its past, tables are those of an empty one.

What a single edit makes anew: `test_stale.py`.
"""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from edits import EDITS, WITH, build, with_edits
from workspace import Forks, Workspace

SEQUENCES, STEPS = 12, 4
SEQUENCED = [
    "learning rate", "epochs", "prompt", "engine", "weights", "split", "reader options", "leaks",
    "samples", "seeds", "also asked", "protocol", "version of FINETUNE", "version of PREDICT",
]  # fmt: skip
CHANGES = {name: (EDITS[name],) for name in SEQUENCED} | {k: v for k, v in WITH.items() if v}


def sequences() -> list[tuple[str, ...]]:
    """Return the edits that are made one after the other; one that is drawn again is undone.

    Edits of the same place are not drawn together.
    """
    draw, found = random.Random(7), []
    while len(found) < SEQUENCES:
        sequence = tuple(draw.choice(list(CHANGES)) for _ in range(STEPS))
        places = [(path, old) for name in set(sequence) for path, old, _ in CHANGES[name]]
        if len(set(places)) == len(places):
            found.append(sequence)
    return found


def tables(mine: Workspace) -> dict[str, bytes]:
    """Return the tables of the experiments of the last plan, by name."""
    used = (mine.root / "results/plan/used.tsv").read_text().splitlines()
    folders = [line.split("\t")[1] for line in used if line.startswith("experiment\t")]
    return {f: (mine.root / f / "tables/arms.csv").read_bytes() for f in folders}


def call(mine: Workspace) -> None:
    """Call Snakemake, plainly but for where its scripts run."""
    done = mine.quickly()
    assert done.returncode == 0, done.stdout


@dataclass
class EmptyFolders:
    """The tables that some edits give where nothing has been made before, made once a state."""

    pristine: Path
    place: Path
    forks: Forks = field(default_factory=Forks)  # with a hash seed of its own
    known: dict[frozenset[str], dict[str, bytes]] = field(default_factory=dict)

    def tables(self, state: frozenset[str]) -> dict[str, bytes]:
        """Return the tables of a state of edits."""
        if state not in self.known:
            shutil.copytree(self.pristine, self.place)
            mine = Workspace(self.place, self.forks)
            with_edits(mine, [edit for name in sorted(state) for edit in CHANGES[name]])
            call(mine)
            self.known[state] = tables(mine)
            shutil.rmtree(self.place)
        return self.known[state]


@pytest.fixture(scope="module")
def empty(
    workspaces: Callable[[str], Workspace], tmp_path_factory: pytest.TempPathFactory
) -> EmptyFolders:
    return EmptyFolders(build(workspaces, "pristine").root, tmp_path_factory.mktemp("empty") / "it")


@pytest.mark.slow("a call after each of 24 edits, and one in an empty folder for each state")
@pytest.mark.parametrize("played", [sequences()[::2], sequences()[1::2]], ids=["even", "odd"])
def test_after_any_sequence_of_edits_tables_are_those_of_an_empty_folder(
    empty: EmptyFolders, played: list[tuple[str, ...]], tmp_path: Path
) -> None:
    # All in one folder, with all its past.
    mine = Workspace(tmp_path / "mine")
    shutil.copytree(empty.pristine, mine.root)
    for sequence in played:
        state: frozenset[str] = frozenset()
        for name in sequence:
            for path, old, new in CHANGES[name]:
                mine.edit(path, *((new, old) if name in state else (old, new)))
            state ^= {name}
            call(mine)
            assert tables(mine) == empty.tables(state), (sequence, name)
        for path, old, new in (edit for name in state for edit in CHANGES[name]):
            mine.edit(path, new, old)
    trained = (mine.root / "trained.log").read_text().splitlines()
    assert len(set(trained)) == len(trained), "trained twice"
