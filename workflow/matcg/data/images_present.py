"""Which images of which source datasets are there: looked at before anything is prepared."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from matcg.config.catalog import Preparation
from matcg.data import readers
from matcg.data.candidates import ImageCount
from matcg.data.image_folder import Folder
from matcg.data.prepare import IMAGES, image_lines
from matcg.errors import DataError
from matcg.tsv import write_tsv

NO_QUESTIONS = "no questions, so no paths"


def check_images(
    asked: Sequence[Preparation],
    roots: Mapping[str, Path],
    sources: Mapping[str, Mapping[str, tuple[str, str]]],
    out: Path,
    processes: int = 1,
    say: Callable[[str], object] = print,
) -> None:
    """Write a line for every source dataset of every subset to `out`, and say what is missing.

    `roots` are the data folders and `sources` the name and link of each source dataset, by catalog.
    Of a subset whose questions are not there the source datasets are those of its catalog.

    Raises:
        ConfigError: a wrong option of the reader.
    """
    with ProcessPoolExecutor(processes) as pool:
        found = list(pool.map(partial(_counts, roots), asked))
    lines: list[list[object]] = []
    absent: dict[str, list[str]] = defaultdict(list)
    for each, answer in zip(asked, found, strict=True):
        counts = answer
        if isinstance(counts, str):
            absent[each.reader].append(counts)
            names = each.subset.datasets
            counts = tuple(ImageCount(name, 0, 0, 0, NO_QUESTIONS) for name in names)
        known = sources.get(each.catalog, {})
        lines += image_lines(each.catalog, each.subset.id, counts, known)
    write_tsv(out, IMAGES, lines)
    for lost in absent.values():
        say(_without_questions(lost, asked))
    _say(lines, say)
    say(f"Every source dataset with its link: {out}")


def named_images(
    asked: Sequence[Preparation], root: Path, say: Callable[[str], object]
) -> Iterator[tuple[Preparation, Folder, list[tuple[str, str]]]]:
    """Yield of each subset of a catalog the folder of pictures, and source dataset and path of each
    that its questions name; say of how many there are no questions.

    Raises:
        ConfigError: a wrong option of the reader.
    """
    absent = []
    for each in asked:
        try:
            folder, pictures = readers.get(each.reader).names(each.subset, each.all_options, root)
        except DataError as error:
            absent.append(str(error))
        else:
            yield each, folder, pictures
    if absent:
        say(_without_questions(absent, asked))


def _without_questions(absent: Sequence[str], asked: Sequence[Preparation]) -> str:
    return f"Of {len(absent)} of {len(asked)} subsets the questions are missing: {absent[0]}"


def _counts(roots: Mapping[str, Path], asked: Preparation) -> tuple[ImageCount, ...] | str:
    """Return the counts of a subset's source datasets, or why there are none."""
    reader, root = readers.get(asked.reader), roots.get(asked.catalog)
    try:
        return reader.images(asked.subset, asked.all_options, root)
    except DataError as error:
        return str(error)


def _say(lines: Iterable[Sequence[object]], say: Callable[[str], object]) -> None:
    """Say of each source dataset with missing images how many there are and where to get them."""
    rows = [dict(zip(IMAGES, line, strict=True)) for line in lines]
    rows = [row for row in rows if row["example"] != NO_QUESTIONS]
    lacking = [row for row in rows if row["missing"]]
    for row in lacking:
        name = f"{row['dataset']} {row['name']}".strip()
        link = f" Link: {row['link']}" if row["link"] else ""
        say(
            f"{row['catalog']} subset {row['subset']}, dataset {name}: {row['missing']} of"
            f" {row['images']} images missing, such as {row['example']}.{link}"
        )
    complete = len(rows) - len(lacking)
    say(f"The images of {complete} of {len(rows)} source datasets with questions are all there.")
