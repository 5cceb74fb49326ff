"""Reader of YOLO's text files: a line `class cx cy w h` a box, in fractions of the picture.

A picture without a file, or with an empty one, has no findings, as in Ultralytics' documentation
(docs.ultralytics.com/datasets/detect).
"""

from collections.abc import Iterator, Sequence
from functools import partial

from matcg.config.finding_options import FindingOptions
from matcg.config.yaml_file import parse_yaml
from matcg.data.annotated import Picture, Raw, matching, no_files
from matcg.data.image_folder import Folder
from matcg.data.readers import of_findings
from matcg.errors import BadRowError, ConfigError, DataError


def pictures(folder: Folder, options: FindingOptions) -> Iterator[Picture]:
    """Yield the pictures of a folder, and those of which only the file is there.

    Rows count lines from 1.

    Raises:
        DataError: the file of names is not there, or holds none.
    """
    names = _names(folder, options.names)
    images = {held["image"]: path for path, held in matching(folder, options.images)}
    files = {held["image"]: path for each in options.files for path, held in matching(folder, each)}
    if not files:
        raise no_files(folder, options)
    for name in sorted(images.keys() | files):
        image = images.get(name, options.images.replace("{image}", name))
        file = files.get(name, "")
        text = folder.read(file).decode("utf-8", "replace") if file else ""
        lines = enumerate(text.splitlines(), start=1)
        rows = tuple((str(n), partial(_finding, line, names)) for n, line in lines if line.strip())
        yield Picture(file or image, "-", image, rows)


def _names(folder: Folder, path: str) -> Sequence[str]:
    """Return the names of the classes: a line each, or the `names` of a YAML file."""
    if not path:
        return ()
    try:
        text = folder.read(path).decode("utf-8")
        if not path.endswith((".yaml", ".yml")):
            return text.split("\n")
        held = parse_yaml(text, path)["names"]
        return [str(held[n]) for n in range(len(held))]
    except (BadRowError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise DataError(f"{path}: no file of names ({error}); mend option 'names'") from None


def _finding(line: str, names: Sequence[str]) -> list[Raw]:
    words = line.split()
    if len(words) != 5:
        raise BadRowError("not a box: five values are read, class cx cy w h")
    n = int(words[0])
    if names and not (0 <= n < len(names) and names[n].strip()):
        raise BadRowError(f"unknown class: {n} has no name")
    cx, cy, w, h = map(float, words[1:])
    box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
    return [Raw(names[n].strip() if names else str(n), box, fractions=True)]


READER = of_findings(pictures)
