"""Rows that name files of hospitals: a row a picture, and none of their names in what is read."""

from collections.abc import Sequence
from dataclasses import replace

from matcg.data.candidates import Quarantined, Source, pool_of
from matcg.data.release_table import ReleaseTable
from matcg.data.scans import Scans
from matcg.samples import Sample


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


def veiled(
    source: Source,
    scans: Scans,
    subset: str,
    images: Sequence[str],
    groups: Sequence[str] | None = None,
) -> Source:
    """Return a source whose patients and volumes are groups, and which shows no names of theirs.

    `images` are the paths of the samples in the pool, `groups` what else is known of them.
    """
    named = {*images, *(bad.image for bad in source.quarantined)}
    if not any(scans.kind(each) or scans.hidden(each) for each in named):
        return source
    given = groups or [""] * len(images)
    held = [scans.group(image, group) for image, group in zip(images, given, strict=True)]
    pool = source.pool
    ids = [
        f"{subset}-{scans.names.of('sample', name)}" if scans.hidden(image) else name
        for name, image in zip(pool.ids, images, strict=True)
    ]

    def load(at: int) -> Sample:
        origin = scans.shown(images[at])
        return replace(source.load(at), sample_id=ids[at], origin=origin, group=held[at])

    def veil(bad: Quarantined) -> Quarantined:
        image, reason = scans.shown(bad.image), scans.reason(bad.image, bad.reason)
        return replace(bad, file=scans.shown(bad.file), image=image, reason=reason)

    return replace(
        source,
        pool=pool_of(ids, [pool.names[label] for label in pool.labels], images, held),
        load=load,
        reject=lambda at, reason: veil(source.reject(at, reason)),
        quarantined=tuple(map(veil, source.quarantined)),
        files=tuple(map(scans.shown, source.files)),
    )
