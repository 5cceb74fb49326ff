"""Rows of tables that name files of hospitals: a row a picture, and none of their names shown."""

from collections.abc import Sequence
from dataclasses import replace

from matcg.config.reader_options import Options
from matcg.data.release_table import ReleaseTable
from matcg.data.scans import Scans


def hide_names(table: ReleaseTable, scans: Scans) -> None:
    """Replace the paths of rows that are set aside already, where results must not show them."""
    for at, (number, bad) in enumerate(table.bad):
        if scans.hidden(bad.image):
            reason = scans.reason(bad.image, bad.reason)
            table.bad[at] = (number, replace(bad, image=scans.shown(bad.image), reason=reason))


def use_pictures(table: ReleaseTable, rows: Sequence[int], pictures: Sequence[str]) -> None:
    """Keep these rows, each as often as it is given, with one of its pictures.

    A row that stands for a part has the part's number in its id, unless its own path names it.
    """
    before = [table.images[at] for at in rows]
    table.keep(rows)
    for at, (old, new) in enumerate(zip(before, pictures, strict=True)):
        if old != new:
            table.images[at] = new
            table.ids[at] += new.removeprefix(old)


def shown_ids(table: ReleaseTable, scans: Scans, subset: str) -> list[str]:
    """Return the ids of samples: those of rows, but a keyed hash where that may be a name."""
    return [
        f"{subset}-{scans.names.of('sample', name)}" if scans.hidden(image) else name
        for name, image in zip(table.ids, table.images, strict=True)
    ]


def groups_in(table: ReleaseTable, scans: Scans, options: Options) -> list[str] | None:
    """Return the patient, sequence or volume of each row, None where there is none at all."""
    bases = [scans.split(image)[0] for image in table.images]
    given = options.groups(bases)
    if not any(map(scans.kind, table.images)):
        return given
    given = given or [""] * len(bases)
    return [scans.group(image, group) for image, group in zip(table.images, given, strict=True)]
