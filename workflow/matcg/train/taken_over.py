"""Outputs of a finished run that is the same under another name of its mix.

A mix is named after what decides it, the targets whose pictures it must not hold among it. One more
target makes another name, mostly of the same samples: what these have trained stays trained.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matcg.identity import plain
from matcg.provenance import read_record, write_record
from matcg.told import RECORD

METRICS, WEIGHTS = "metrics.jsonl", "weights"


def take_over(out: Path, run: str) -> bool:
    """Give `out` the outputs of a finished run of the digest `run`, if there is one, and tell.

    Weights are linked where the disk can, else copied; the record is written last.
    """
    for folder, record in _others(out):
        if record.get("run") != run or not _whole(folder):
            continue
        shutil.rmtree(out / WEIGHTS, ignore_errors=True)
        # Snakemake's own note of the folder's age stays where it is, and so does that of metrics.
        ignore = shutil.ignore_patterns(".snakemake*")
        shutil.copytree(folder / WEIGHTS, out / WEIGHTS, ignore=ignore, copy_function=_link)
        shutil.copyfile(folder / METRICS, out / METRICS)
        told = {**record, "place": "/".join(out.parts[-4:]), "taken_from": record.get("place", "")}
        write_record(out / RECORD, told)
        print(f"{out}: the same as {folder}, which is finished: not trained again", flush=True)
        return True
    return False


def _others(out: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the runs of the same backbone, recipe and seed on the mix under its other names."""
    mix = out.parent
    for path in sorted(mix.parent.glob(f"{plain(mix.name)}-*/{out.name}/{RECORD}")):
        if path.parent != out and plain(path.parents[1].name) == plain(mix.name):
            yield path.parent, read_record(path)


def _whole(folder: Path) -> bool:
    return (folder / METRICS).is_file() and (folder / WEIGHTS).is_dir()


def _link(source: Path | str, target: Path | str) -> None:
    """Link a file, or copy it where it cannot be linked."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
