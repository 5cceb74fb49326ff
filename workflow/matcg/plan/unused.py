"""What lies in `results/` and is in no plan any more: named with its size, never removed.

The last plan of each selection of experiments counts, as its link in `results/plans` says.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from matcg import tsv
from matcg.identity import NAMED

FILE, USED = "unused.tsv", "used.tsv"
MB = 1_000_000
# Where what lies, of this layout and of the one without digests.
PATTERNS = {
    "data": ("data/*/*/", "data/*.tsv"),
    "lengths": ("lengths/*/*/*.json",),
    "mix": ("mixes/*.parquet",),
    "run": ("runs/*/*/*/seed*/",),
    "group": ("answers/*/*.json", "answers/*/*.parquet"),
    "converted weights": ("converted/*/*/",),
    "export": ("exports/*/*/",),
    "predictions": ("predictions/*/*/*.parquet",),
    "experiment": ("experiments/*/",),
    "plan": ("plans/*/", "plan/"),
    "report": ("report*.html",),
}

Found = list[tuple[str, str, float]]


def find_unused(used: Iterable[str], results: Path, selection: str = "") -> Found:
    """Return kind, path and size in MB of what is neither in `used` nor in another last plan.

    `selection` names that of the plan that uses `used`, whose link may still lead to one before.
    """
    known = {*used, *_of_last_plans(results, selection)}
    found = [
        (kind, path.as_posix(), _size(path))
        for kind, patterns in PATTERNS.items()
        for pattern in patterns
        for path in sorted(results.glob(pattern))
        if path.as_posix() not in known and not path.is_symlink()
    ]
    return found + _unused_answers(known, results)


def _of_last_plans(results: Path, selection: str) -> Iterator[str]:
    """Yield the paths that the last plans of all other selections of experiments need."""
    for link in sorted((results / "plans").glob("*")):
        if link.name != selection and link.is_symlink() and (link / USED).is_file():
            yield from (row["path"] for row in tsv.read_tsv(link / USED))


def _unused_answers(known: set[str], results: Path) -> Found:
    """Return the answers that no plan needs, those of a run together."""
    sizes: dict[str, float] = defaultdict(float)
    for path in sorted(results.glob("answers/*/*/**/*.parquet")):
        if path.as_posix() not in known:
            sizes[path.parents[1].as_posix()] += _size(path)
    return [("answers", path, size) for path, size in sorted(sizes.items())]


def _size(path: Path) -> float:
    """Return the MB of a file, or of a folder with all in it."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.lstat().st_size for file in files) / MB


def describe_unused(found: Found) -> str:
    """Return what is unused as the last section of the plan's summary."""
    sums: dict[str, list[float]] = defaultdict(list)
    for kind, _, size in found:
        sums[kind].append(size)
    counts = ", ".join(f"{kind}: {len(each)} ({sum(each):.1f} MB)" for kind, each in sums.items())
    text = "All that lies in results/ is in a plan."
    if found:
        text = (
            f"In results/ and in no plan any more: {counts}."
            " Nothing was removed, and what a config asks for again is used again."
            f" results/plan/{FILE} names it all."
        )
    return f"\n## Unused\n\n{text}\n"


def render_unused(found: Found) -> str:
    """Return the text of `unused.tsv`."""
    return tsv.table(("kind", "path", "mb"), [(k, path, f"{size:.3f}") for k, path, size in found])


def older_layout(results: Path) -> list[str]:
    """Return what there is of the layout whose names had no digests; it is never touched."""
    runs = [path for path in results.glob("runs/*/") if not NAMED.fullmatch(path.name)]
    names = ["predictions"] if (results / "predictions").is_dir() else []
    names += ["runs"] if runs else []
    plain = [name for name in ("plan", "report.html") if (results / name).exists()]
    return names + [name for name in plain if names and not (results / name).is_symlink()]
