"""What decides a result, as a digest that ends its name: `tiny-llava-1a2b3c4d`.

The plan names paths by these functions, and each step computes the same digest anew from what it
has read and refuses to go on where its path says another. So a result that lies under a name was
made of just what the name stands for, whatever Snakemake thinks of the files' ages.
"""

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from matcg import versions
from matcg.config.backbone import Recipe
from matcg.config.catalog import Preparation
from matcg.config.protocol import Protocol
from matcg.errors import DataError

ABOUT = "about.txt"
LENGTH = 8
NAMED = re.compile(rf"(.+)-([0-9a-f]{{{LENGTH}}})")
SCRIPTS = Path(__file__).parents[1] / "scripts"


def digest(*known: Any) -> str:
    """Return a digest of what JSON can hold; dictionaries in any order give the same."""
    text = json.dumps(known, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


@cache
def script(step: str) -> str:
    """Return a digest of a step's script, empty where the library is without its workflow.

    Snakemake notices an edit, but not behind an `ancient` input (rules/train.smk).
    """
    path = SCRIPTS / f"{step}.py"
    return digest(path.read_text(encoding="utf-8")) if path.exists() else ""


def of_subset(asked: Preparation) -> str:
    """Return what decides a subset's samples: reader, options, split, and how they are prepared."""
    return digest(versions.PREPARE, asked.canonical())


def of_recipe(recipe: Recipe) -> str:
    """Return what decides how a run is trained, the version of the code that does it included."""
    return digest(versions.FINETUNE, script("finetune"), recipe.canonical())


def of_questions(target: str, protocol: Protocol) -> str:
    """Return what decides a target's questions as they are asked, by the digest of its samples."""
    return digest(target, protocol.identity())


def named(name: str, found: str) -> str:
    """Return the name of something with its digest."""
    return f"{name}-{found}"


def plain(name: str) -> str:
    """Return a name without its digest."""
    found = NAMED.fullmatch(name)
    return found[1] if found else name


def digest_in(name: str) -> str:
    """Return the digest that ends a name, empty where none does."""
    found = NAMED.fullmatch(name)
    return found[2] if found else ""


def require(path: Path, name: str, told: str, what: str) -> None:
    """Refuse what says of itself that it is something else than its name stands for.

    A name without a digest promises nothing.

    Raises:
        DataError: `told`, the digest that it gives of itself, is not that in `name`.
    """
    expected = digest_in(name)
    if expected and told != expected:
        raise DataError(
            f"{path}: {what} {told or 'of no digest'}, and the plan means {expected}; it was put or"
            " changed there by hand, or is from another version: remove it and call again"
        )


def describe_folder(folder: Path, line: str) -> None:
    """Say in a line in a folder what it is, where its name ends in a digest and it does not yet."""
    path = folder / ABOUT
    if digest_in(folder.name) and not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(line + "\n", encoding="utf-8")
