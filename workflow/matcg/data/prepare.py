"""Canonical samples of one subset: read, checked, split, written with an account of every row.

Writes train.parquet, test.parquet, quarantine.tsv and summary.json; everything later in the
workflow reads only these. The same source files give the same bytes.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from matcg import forms, identity, told, versions
from matcg.config.catalog import Preparation
from matcg.data import readers, split
from matcg.data.candidates import Flags, ImageCount, Numbers, Pool, Quarantined, Source
from matcg.data.contradictions import Contradictions
from matcg.data.sampling import Draw, marks
from matcg.errors import BadRowError, DataError
from matcg.images import ImageError, as_shown
from matcg.samples import Sample, write_samples
from matcg.seeds import derive
from matcg.telling import faults_in
from matcg.tsv import write_tsv

_QUARANTINE = ("file", "row", "reason", "image")
IMAGES = (
    "catalog", "subset", "dataset", "name", "link", "rows", "images", "missing", "example",
)  # fmt: skip
_SUMMARY = (
    "catalog", "subset", "rows", "usable", "quarantined", "looked_at", "duplicates", "labels",
    "instructions", "train_pool", "train", "train_asked", "reserve", "test_pool", "test",
    "test_asked", "not_asked", "no_verdict", "role", "role_by_counts", "role_agrees", "split",
    "groups", "ungrouped",
    "train_labels", "test_labels", "train_letters", "test_letters", "untested_labels", "reasons",
)  # fmt: skip


@dataclass(frozen=True)
class Prepared:
    """What a subset's source came to, for the account of it.

    `places` leads from the ids of drawn samples into the pool; `pools` are the sizes of what could
    be trained and tested on.
    """

    source: Source
    general: bool
    places: Mapping[str, int]
    quarantined: Sequence[Quarantined]
    pools: tuple[int, int]
    looked_at: int
    train: Sequence[Sample]
    reserve: Sequence[Sample]
    test: Sequence[Sample]
    lost: Sequence[str]


def prepare(asked: Preparation, root: Path | None, out: Path, threads: int = 1) -> None:
    """Write the samples of a subset and the account of them into the folder `out`.

    `root` is the data folder of readers that have one.

    Raises:
        ConfigError: a wrong option of the reader.
        DataError: source files missing or unreadable, or nothing usable to train or to test on; or
            the folder is that of other settings.
    """
    found = identity.of_subset(asked)
    identity.require(out, out.name, found, "the subset's settings have digest")
    identity.describe_folder(out, _described(asked))
    source = readers.get(asked.reader).source(asked.subset, asked.all_options, root, asked.split)
    _check_ids(source.pool.ids, asked.subset.id)
    done = _drawn(asked, source, threads)
    _require(asked.subset.id, done)
    contradictions = Contradictions()
    for side, samples in (("train", (*done.train, *done.reserve)), ("test", done.test)):
        loaded = (_loaded(done, each) for each in samples)
        looked = contradictions.passing(loaded) if side == "test" else loaded
        write_samples(out / f"{side}.parquet", looked, found)
    write_tsv(out / "quarantine.tsv", _QUARANTINE, map(astuple, done.quarantined))
    account = _account(asked, done) | {"contradictions": contradictions.found()}
    text = json.dumps(account, indent=1, ensure_ascii=False) + "\n"
    (out / "summary.json").write_text(text, encoding="utf-8")


def _described(asked: Preparation) -> str:
    return (
        f"Samples of subset {asked.subset.id} of catalog {asked.catalog}, version"
        f" {versions.PREPARE}: {asked.canonical()}"
    )


def _check_ids(ids: Sequence[str], subset: str) -> None:
    if len(set(ids)) < len(ids):
        name, n = Counter(ids).most_common(1)[0]
        raise DataError(f"subset {subset}: sample id '{name}' is given {n} times; mend the reader")


def _drawn(asked: Preparation, source: Source, threads: int) -> Prepared:
    """Return the samples that are used, in order, and what became of the others."""
    caps, account = asked.split, source
    per_label = caps.per_label
    if not forms.named(asked.subset.form_of_answer).balanced:
        source, per_label = replace(source, pool=source.pool.unlabelled()), None
    pool = source.pool
    seed = derive(caps.seed, "split", asked.subset.id)
    ranks = pool.ranks(seed)
    tests, clashing = sides(asked, pool, source.tests, ranks)
    draw = Draw(source, ranks, threads, clashing)
    trains = ~tests & ~marks(len(pool), list(clashing))
    pools = int(trains.sum()), int(tests.sum())
    test = draw.test(tests, caps.test, caps.balanced_tests)
    most = per_label and caps.with_reserve(per_label)
    tested = list(test.values())
    wanted = caps.with_reserve(caps.train)
    train = draw.train(trains, wanted, seed, tested, asked.near_duplicates, most)
    main, spare = _main(list(train.values()), caps.train, per_label or caps.train)
    rejected = [source.reject(at, reason) for at, reason in sorted(draw.rejected.items())]
    asked_of = {
        name: source.ask(split.balanced_order(samples, seed))
        for name, samples in (("train", main), ("reserve", spare), ("test", test.values()))
    }
    return Prepared(
        source=account,
        general=asked.general,
        places={sample.sample_id: at for at, sample in (train | test).items()},
        quarantined=sorted((*source.quarantined, *rejected), key=_row),
        pools=pools,
        looked_at=draw.looked_at,
        train=asked_of["train"],
        reserve=[replace(each, reserve=True) for each in asked_of["reserve"]],
        test=asked_of["test"],
        lost=draw.lost,
    )


def _main(train: Sequence[Sample], cap: int, per_label: int) -> tuple[list[Sample], list[Sample]]:
    """Return the training samples within the caps, and the reserve."""
    main: list[Sample] = []
    spare: list[Sample] = []
    given: Counter[str] = Counter()
    for each in train:
        fits = len(main) < cap and given[each.label] < per_label
        (main if fits else spare).append(each)
        given[each.label] += fits
    return main, spare


def _row(each: Quarantined) -> tuple[bool, int]:
    """Return the key that puts quarantined rows into the order of the file."""
    return (True, int(each.row)) if each.row.isdigit() else (False, 0)


def sides(
    asked: Preparation, pool: Pool, tests: Flags | None, ranks: Numbers
) -> tuple[Flags, dict[int, str]]:
    """Return the marks of what may be tested on, and why some of a given split may not stay.

    `tests` marks the source's own test samples, which stay, since they are what others report on.
    """
    if asked.general:
        return marks(len(pool), []), {}
    if tests is None:
        return split.by_fraction(pool, asked.split.test_fraction, ranks), {}
    both = ~tests & np.isin(pool.units, pool.units[tests])
    first = {int(pool.units[at]): pool.ids[at] for at in np.flatnonzero(tests)[::-1]}
    reasons = {}
    for at in np.flatnonzero(both).tolist():
        what = "group" if pool.grouped[at] else "image"
        reasons[at] = f"{what} also in test: {first[int(pool.units[at])]}"
    return tests, reasons


def _loaded(done: Prepared, sample: Sample) -> Sample:
    """Return a sample with its image as one of 8 bits, read again where it was not kept."""
    if sample.image:
        return sample
    try:
        image = done.source.load(done.places[sample.sample_id]).image
        return replace(sample, image=as_shown(image, sample.origin))
    except (BadRowError, ImageError) as error:
        raise DataError(
            f"{sample.origin}: changed while it was read ({error}); prepare the subset again"
        ) from None


def _require(subset: str, done: Prepared) -> None:
    source = done.source
    if done.train and (done.test or done.general):
        return
    side = "train" if not done.train else "test"
    kinds = Counter(each.kind for each in done.quarantined)
    why = "; ".join(f"{n} x {kind}" for kind, n in kinds.most_common(3)) or "none quarantined"
    raise DataError(
        f"subset {subset}: nothing to {side} on; {source.rows} rows read, {len(source.pool)} "
        f"usable ({why}); mend the source or leave the subset out of the catalog"
    )


def _account(asked: Preparation, done: Prepared) -> dict[str, Any]:
    """Return what became of every row, as written to summary.json."""
    source, caps, pool = done.source, asked.split, done.source.pool
    there = np.bincount(pool.labels, minlength=len(pool.names)).tolist()
    given = [Counter(each.label for each in part) for part in (done.train, done.test)]
    drawn = [*done.train, *done.test]
    return {
        "catalog": asked.catalog,
        "subset": asked.subset.id,
        "reader": asked.reader,
        "files": list(source.files),
        "rows": source.rows,
        "usable": source.rows - len(done.quarantined),
        "quarantined": dict(sorted(Counter(each.kind for each in done.quarantined).items())),
        "looked_at": done.looked_at,
        "duplicates": len(drawn) - len({each.fingerprint for each in drawn}),
        "labels": {
            label: {"source": n, "train": given[0][label], "test": given[1][label]}
            for label, n in zip(pool.names, there, strict=True)
        },
        "untested_labels": [label for label in pool.names if not given[1][label]],
        "lost_labels": list(done.lost),
        "constants": _constants(done.test),
        "instructions": len({each.question for each in drawn}),
        "letters": {
            side: forms.of(samples[0]).tally(samples) if samples else {}
            for side, samples in (("train", done.train), ("test", done.test))
        },
        "asked": {"train": caps.train, "test": caps.test},
        "pool": dict(zip(("train", "test"), done.pools, strict=True)),
        "given": {"train": len(done.train), "test": len(done.test)},
        "reserve": len(done.reserve),
        # The reference calls a subset "id" when it fills the cap of training samples.
        "role": {
            "declared": asked.subset.role,
            "by_counts": "id" if len(done.train) >= caps.train else "ood",
        },
        "split": {
            "method": _method(done, caps.test_fraction),
            "seed": caps.seed,
            "groups": len(np.unique(pool.units[pool.grouped])),
            "ungrouped": int((~pool.grouped).sum()),
        },
        "images": [asdict(count) for count in source.images],
    }


def _constants(samples: Iterable[Sample]) -> dict[str, int]:
    """Return how many samples each answer fits that needs no picture."""
    return dict(Counter(answer for s in samples for answer in forms.of(s).constants(s)))


def _method(done: Prepared, fraction: float) -> str:
    if done.general:
        return "none"
    if done.source.tests is not None:
        return "source"
    return f"{fraction:g} by group" if done.source.pool.grouped.any() else f"{fraction:g} by image"


def summarise(
    folders: Sequence[Path],
    out: Path,
    sources: Mapping[str, Mapping[str, tuple[str, str]]],
    minimums: Mapping[str, int] | None = None,
    lengths: Iterable[Path] = (),
) -> None:
    """Merge the accounts of prepared subsets into the tables of all in `out`.

    `sources` gives the name and link of each source dataset, by catalog, `minimums` how many test
    questions each target must have: those whose questions tell nothing come first. What a backbone
    is not asked, by the files `lengths`, is quarantined too.
    """
    accounts = [json.loads((folder / "summary.json").read_text("utf-8")) for folder in folders]
    aside = sorted(_not_asked(lengths))
    # Several backbones may each have a reason of their own.
    counts = Counter((*place, side) for *place, side, _ in {row[:4] for row in aside})
    for each in accounts:
        place = (each["catalog"], each["subset"])
        each["not_asked"] = {side: counts[*place, side] for side in ("test", "train")}
    lines = [_line(each, (minimums or {}).get(each["subset"])) for each in accounts]
    lines.sort(key=lambda line: not line[_SUMMARY.index("no_verdict")])
    write_tsv(out / "summary.tsv", _SUMMARY, lines)
    rows, images = [], []
    for folder, account in zip(folders, accounts, strict=True):
        place = (account["catalog"], account["subset"])
        with (folder / "quarantine.tsv").open(encoding="utf-8", newline="") as file:
            _, *cells = csv.reader(file, delimiter="\t")
        rows += [[*place, *each] for each in cells]
        known = sources.get(account["catalog"], {})
        images += image_lines(*place, [ImageCount(**each) for each in account["images"]], known)
    rows += [[*place, f"{side}.parquet", name, why, ""] for *place, side, name, why in aside]
    write_tsv(out / "quarantine.tsv", ("catalog", "subset", *_QUARANTINE), rows)
    write_tsv(out / "images.tsv", IMAGES, images)


def _not_asked(lengths: Iterable[Path]) -> set[tuple[str, str, str, str, str]]:
    """Return catalog, subset, side, id and reason of what a backbone is not asked."""
    return {
        (path.parent.name, identity.plain(path.stem), side, name, why)
        for path in lengths
        for side, reasons in told.set_aside(path).items()
        for name, why in reasons.items()
    }


def image_lines(
    catalog: str,
    subset: str,
    counts: Iterable[ImageCount],
    sources: Mapping[str, tuple[str, str]],
) -> list[list[Any]]:
    """Return the cells of `IMAGES` for the source datasets of one subset."""
    return [
        [
            *(catalog, subset, each.dataset, *sources.get(each.dataset, ("", ""))),
            *(each.rows, each.images, each.missing, each.example),
        ]
        for each in counts
    ]


def _yes(told: bool) -> str:
    return "yes" if told else "no"


def _line(account: Mapping[str, Any], minimum: int | None) -> list[Any]:
    """Return the cells of `_SUMMARY`; `minimum` is None for what is no target."""

    def listed(counts: Mapping[str, int]) -> str:
        return "; ".join(f"{name} {n}" for name, n in counts.items() if n)

    labels, role = account["labels"], account["role"]
    flat = {
        **account,
        "quarantined": sum(account["quarantined"].values()),
        "reasons": listed(account["quarantined"]),
        "labels": len(labels),
        **account["given"],
        **{f"{side}_asked": n for side, n in account["asked"].items()},
        **{f"{side}_pool": n for side, n in account["pool"].items()},
        "role": role["declared"] or "",
        "role_by_counts": role["by_counts"],
        "role_agrees": "" if not role["declared"] else _yes(role["declared"] == role["by_counts"]),
        "split": account["split"]["method"],
        "groups": account["split"]["groups"],
        "ungrouped": account["split"]["ungrouped"],
        "untested_labels": "; ".join(account["untested_labels"]),
        "not_asked": listed(account["not_asked"]),
        "no_verdict": "" if minimum is None else "; ".join(faults_in(account, minimum)),
    }
    for side in ("train", "test"):
        flat[f"{side}_labels"] = listed({label: n[side] for label, n in labels.items()})
        flat[f"{side}_letters"] = listed(account["letters"][side])
    return [flat[key] for key in _SUMMARY]
