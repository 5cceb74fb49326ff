"""Canonical samples of one subset: read, checked, split, written with an account of every row.

Writes train.parquet, test.parquet, quarantine.tsv and summary.json; everything later in the
workflow reads only these. The same source files give the same bytes.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matcg.data import medmat, split
from matcg.data.source import Quarantined, Source
from matcg.errors import DataError
from matcg.samples import Sample, write_samples
from matcg.seeds import derive

if TYPE_CHECKING:
    from matcg.config import Catalog, Split, SubsetSpec

QUARANTINE = ("file", "row", "reason", "image")
SUMMARY = (
    "catalog", "subset", "rows", "usable", "quarantined", "duplicates", "labels",
    "train", "train_asked", "test", "test_asked", "role", "role_by_counts", "split",
    "train_labels", "test_labels", "untested_labels", "reasons",
)  # fmt: skip


def read_medmat(
    subset: "SubsetSpec", options: Mapping[str, Any], root: Path | None, caps: "Split"
) -> Source:
    """Read every row there is; the caps apply after the split."""
    del caps
    return medmat.read(subset, options, root)


def read_phantom(
    subset: "SubsetSpec", options: Mapping[str, Any], root: Path | None, caps: "Split"
) -> Source:
    """Generate as many samples as the caps ask; the phantom world has its own test split."""
    from matcg.phantom.world import read

    del root
    train = tuple(read(subset, options, "train", caps.train))
    test = tuple(read(subset, options, "test", caps.test))
    return Source(
        samples=train + test,
        quarantined=(),
        rows=len(train) + len(test),
        files=(),
        test_ids=frozenset(sample.sample_id for sample in test),
    )


Reader = Callable[["SubsetSpec", Mapping[str, Any], Path | None, "Split"], Source]
READERS: dict[str, Reader] = {"medmat": read_medmat, "phantom": read_phantom}


def prepare(catalog: "Catalog", subset: "SubsetSpec", root: Path | None, out: Path) -> None:
    """Write the samples of `subset` and the account of them into the folder `out`.

    `root` is the data folder of readers that have one.

    Raises:
        ConfigError: a wrong option of the reader.
        DataError: source files missing or unreadable, or nothing usable to train or to test on.
    """
    options = {**catalog.options, **subset.options}
    source = READERS[catalog.reader](subset, options, root, catalog.split)
    _check_ids(source.samples, subset.id)
    seed = derive(catalog.split.seed, "split", subset.id)
    pools, clashing = _pools(source, catalog.split.test_fraction, seed)
    train = split.balanced_order(pools[0], seed)[: catalog.split.train]
    test = split.strictly_balanced(pools[1], catalog.split.test, seed)
    quarantined = [*source.quarantined, *clashing]
    _require(subset.id, source, quarantined, train, test)
    write_samples(out / "train.parquet", map(source.load, train))
    write_samples(out / "test.parquet", map(source.load, test))
    write_table(out / "quarantine.tsv", QUARANTINE, [_cells(each) for each in quarantined])
    account = _account(catalog, subset, source, quarantined, pools, train, test)
    text = json.dumps(account, indent=1, ensure_ascii=False) + "\n"
    (out / "summary.json").write_text(text, encoding="utf-8")


def _check_ids(samples: Iterable[Sample], subset: str) -> None:
    counts = Counter(sample.sample_id for sample in samples)
    name, n = max(counts.items(), key=lambda each: each[1], default=("", 0))
    if n > 1:
        raise DataError(f"subset {subset}: sample id '{name}' is given {n} times; mend the reader")


def _pools(
    source: Source, fraction: float, seed: int
) -> tuple[tuple[list[Sample], list[Sample]], list[Quarantined]]:
    """Return training and test pool, and the samples of a given split that may not stay."""
    ids = source.test_ids
    if ids is None:
        return split.by_fraction(source.samples, fraction, seed), []
    test = [sample for sample in source.samples if sample.sample_id in ids]
    train = [sample for sample in source.samples if sample.sample_id not in ids]
    reasons = split.clashes(train, test)
    clashing = [
        Quarantined("-", each.sample_id, reasons[each.sample_id], each.origin)
        for each in train
        if each.sample_id in reasons
    ]
    return ([each for each in train if each.sample_id not in reasons], test), clashing


def _require(
    subset: str,
    source: Source,
    quarantined: Sequence[Quarantined],
    train: Sequence[Sample],
    test: Sequence[Sample],
) -> None:
    if train and test:
        return
    side = "train" if not train else "test"
    kinds = Counter(each.kind for each in quarantined)
    why = "; ".join(f"{n} x {kind}" for kind, n in kinds.most_common(3)) or "none quarantined"
    raise DataError(
        f"subset {subset}: nothing to {side} on; {source.rows} rows read, {len(source.samples)} "
        f"usable ({why}); mend the source or leave the subset out of the catalog"
    )


def _account(
    catalog: "Catalog",
    subset: "SubsetSpec",
    source: Source,
    quarantined: Sequence[Quarantined],
    pools: tuple[list[Sample], list[Sample]],
    train: Sequence[Sample],
    test: Sequence[Sample],
) -> dict[str, Any]:
    """Return what became of every row, as written to summary.json."""
    counts = [Counter(each.label for each in part) for part in (source.samples, train, test)]
    caps = catalog.split
    return {
        "catalog": catalog.name,
        "subset": subset.id,
        "reader": catalog.reader,
        "files": list(source.files),
        "rows": source.rows,
        "usable": source.rows - len(quarantined),
        "quarantined": dict(sorted(Counter(each.kind for each in quarantined).items())),
        "duplicates": len(source.samples) - len({each.digest for each in source.samples}),
        "labels": {
            label: dict(zip(("source", "train", "test"), (n[label] for n in counts), strict=True))
            for label in sorted(counts[0])
        },
        "untested_labels": sorted(set(counts[0]) - set(counts[2])),
        "asked": {"train": caps.train, "test": caps.test},
        "pool": {"train": len(pools[0]), "test": len(pools[1])},
        "given": {"train": len(train), "test": len(test)},
        # The reference calls a subset "id" when it fills the cap of training samples.
        "role": {
            "declared": subset.role,
            "by_counts": "id" if len(pools[0]) >= caps.train else "ood",
        },
        "split": {
            "method": _method(source, caps.test_fraction),
            "seed": caps.seed,
            "groups": len({each.group for each in source.samples if each.group}),
            "ungrouped": sum(not each.group for each in source.samples),
        },
    }


def _method(source: Source, fraction: float) -> str:
    if source.test_ids is not None:
        return "source"
    grouped = any(each.group for each in source.samples)
    return f"{fraction:g} by group" if grouped else f"{fraction:g} by image"


def summarise(folders: Sequence[Path], out: Path) -> None:
    """Merge the accounts of prepared subsets into summary.tsv and quarantine.tsv in `out`."""
    accounts = [json.loads((folder / "summary.json").read_text("utf-8")) for folder in folders]
    write_table(out / "summary.tsv", SUMMARY, [_line(account) for account in accounts])
    rows = []
    for folder, account in zip(folders, accounts, strict=True):
        with (folder / "quarantine.tsv").open(encoding="utf-8", newline="") as file:
            _, *cells = csv.reader(file, delimiter="\t")
        rows += [[account["catalog"], account["subset"], *each] for each in cells]
    write_table(out / "quarantine.tsv", ("catalog", "subset", *QUARANTINE), rows)


def _line(account: Mapping[str, Any]) -> list[Any]:
    """Return the cells of `SUMMARY`."""

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
        "role": role["declared"] or "",
        "role_by_counts": role["by_counts"],
        "split": account["split"]["method"],
        "train_labels": listed({label: n["train"] for label, n in labels.items()}),
        "test_labels": listed({label: n["test"] for label, n in labels.items()}),
        "untested_labels": "; ".join(account["untested_labels"]),
    }
    return [flat[key] for key in SUMMARY]


def _cells(each: Quarantined) -> list[str]:
    return [each.file, each.row, each.reason, each.image]


def write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a TSV, a line a row: control characters in a cell become visible escapes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(head)
        writer.writerows([_plain(cell) for cell in row] for row in rows)


def _plain(cell: Any) -> str:
    text = str(cell)
    return text if text.isprintable() else text.encode("unicode_escape").decode()
