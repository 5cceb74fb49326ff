"""Class folders as rows of questions: a file a row, its label the name of its folder."""

from matcg.config.folder_options import ClassFolderOptions
from matcg.data.annotated import matching
from matcg.data.candidates import Quarantined
from matcg.data.image_folder import Folder
from matcg.data.label_names import LabelNames
from matcg.data.question_table import QuestionTable, Row
from matcg.data.questions import QuestionReader
from matcg.data.row_cells import require_text
from matcg.errors import BadRowError, DataError
from matcg.words import one_form


def read_folders(
    folder: Folder, options: ClassFolderOptions, subset: str, dataset: str, *, named: bool = False
) -> QuestionTable:
    """Return a row for each file of the class folders; it is numbered among all, by their paths.

    Raises:
        DataError: no file is called so.
    """
    del named
    patterns = [each.replace("{id}", subset) for each in options.files]
    found = {p: (each, held["class"]) for each in patterns for p, held in matching(folder, each)}
    kept = {p: of for p, of in found.items() if not options.only or of[1] in options.only}
    if not kept:
        only = f" in a folder {' or '.join(sorted(options.only))}" if found else ""
        raise DataError(
            f"subset {subset}: no file {' or '.join(patterns)}{only} below {folder.root}; put the"
            f" pictures there or mend option '{'only' if found else 'files'}'"
        )
    table = QuestionTable(tuple(patterns))
    labels = LabelNames(options.labels, table.labels)
    # The pattern stands for the file: folders of hospitals may be called like patients.
    for number, (path, (pattern, of)) in enumerate(sorted(kept.items()), start=1):
        try:
            test = _is_test(path, of, options)
        except BadRowError as error:
            table.bad.append(Quarantined(pattern, str(number), str(error), _written(path)))
            continue
        row = (pattern, number, f"{subset}-{path}", path, "")
        unasked = ("", (), 0)  # what is asked is drawn of the labels
        table.rows.append(Row(*row, *unasked, labels.index(of), dataset, "", test, ()))
    return table


def _is_test(path: str, of: str, options: ClassFolderOptions) -> bool:
    """Return whether the source's own split tests on a file, or refuse it."""
    require_text(path)
    if any(part.startswith(".") for part in path.split("/")):
        # Such as .DS_Store, and what archives made on a Mac hold beside each picture.
        raise BadRowError("hidden file: its path has a name that begins with a point")
    if not one_form(options.labels.get(of, of)).strip():
        raise BadRowError(f"no answer: '{of}' is no text; name its label in option 'labels'")
    return bool(options.split_by and options.split_by.is_test("", path, path))


def _written(path: str) -> str:
    """Return a path as text that can be written, whatever bytes the disk has in it."""
    return path.encode(errors="backslashreplace").decode()


_READER = QuestionReader(ClassFolderOptions, read_folders)
read, count = _READER.read, _READER.count
