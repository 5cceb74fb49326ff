"""Checks that samples, mixes, runs and answers are what the names that they lie under stand for.

Snakemake looks at the ages of files, and not at what was copied, moved or edited by hand.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from matcg.errors import DataError
from matcg.identity import digest_in, require
from matcg.plan.records import run_of
from matcg.samples import label_of

RECORD = "provenance.json"


def samples_digest(path: Path) -> str:
    """Return the digest of the subset that a file of samples is of.

    Raises:
        DataError: its folder is that of another.
    """
    digest = str(label_of(path).get("digest", ""))
    require(path, path.parent.name, digest, "these samples are of the digest")
    return digest


def mix_label(path: Path) -> dict[str, Any]:
    """Return what a mix says of itself.

    Raises:
        DataError: its name is that of another.
    """
    label = label_of(path)
    require(path, path.stem, str(label.get("digest", "")), "this mix is of the digest")
    return label


def set_aside(path: Path) -> dict[str, dict[str, str]]:
    """Return by side which samples of a subset a backbone is not asked, with the reasons.

    Raises:
        DataError: what was measured is another subset, or by another backbone.
    """
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it and call again") from None
    require(path, path.stem, str(known["digest"]), "the samples that were measured have digest")
    require(path, path.parents[1].name, str(known["measured"]), "they were measured by the digest")
    aside: dict[str, dict[str, str]] = known["aside"]
    return aside


@cache
def run_record(folder: Path) -> dict[str, Any]:
    """Return the record of a finished run; empty where there is none.

    Raises:
        DataError: it cannot be read, or is of another run than its folder stands for.
    """
    path = folder / RECORD
    if not path.exists():
        return {}
    try:
        record = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove the run, call again") from None
    check_place(path, folder, str(record.get("place", "")))
    return record


def check_place(path: Path, folder: Path, told: str) -> None:
    """Refuse a run whose backbone, recipe, mix or seed, joined by slashes, are not its folder's.

    Raises:
        DataError: they are not.
    """
    names = folder.parts[-4:]
    if digest_in(names[0]) and told != "/".join(names):
        raise DataError(
            f"{path}: this run is {told or 'of no place'}, and the plan means {'/'.join(names)}; it"
            " was put there by hand, or is from another version: remove it and call again"
        )


def check_answers(path: Path, metadata: Mapping[bytes, bytes] | None) -> None:
    """Refuse answers of others than their place stands for; `metadata` are those of the file.

    Raises:
        DataError: they are.
    """
    place = str(json.loads((metadata or {}).get(b"matcg", b"{}")).get("place", ""))
    if digest_in(run_of(path.stem)) and not (place and path.as_posix().endswith(f"/{place}")):
        raise DataError(
            f"{path}: these answers are of {place or 'no place'}; they were put there by hand, or"
            f" are from another version: remove the file; {ask_again(path)}"
        )


def check_trained(answers: Path, run: Path) -> None:
    """Refuse answers that a run gave before it was trained anew; one that was removed may answer.

    Raises:
        DataError: they are, or the run is another than its folder stands for.
    """
    record = run_record(run)
    given = label_of(answers).get("trained", "")
    if record and digest_in(run.parts[-4]) and record.get("run") != given:
        raise DataError(
            f"{answers}: these answers are of run {given or 'unknown'}, and {run} holds"
            f" {record.get('run')}; remove the file; {ask_again(answers)}"
        )


def ask_again(answers: Path) -> str:
    """Return how a file of answers that is not there comes back."""
    above = [folder for folder in answers.parents if folder.parent.name == "answers"]
    records = above[0] / "*.json" if above else "the record of its group"
    return f"to have it made again, remove {records} too and call again: what is kept stays"
