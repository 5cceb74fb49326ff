"""Training sets: which samples of which subsets, in which order, trained on which answer.

A mix names samples, it copies none. The draw depends on data seed, subset and sample id only, not
on the arm: a larger draw of a subset begins with the smaller one, and shuffled labels keep it.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from matcg import forms, told
from matcg.data.leaks import Leak, Search, barred, find_leaks
from matcg.data.split import balanced_order
from matcg.errors import DataError
from matcg.identity import plain, require
from matcg.plan.records import Mix
from matcg.samples import Sample, labelled, read_samples
from matcg.seeds import derive

# Behind these columns stands one of answers for each form of its samples.
MIX_SCHEMA = pa.schema(
    [
        ("position", pa.int32()),
        ("subset", pa.string()),
        ("sample_id", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One training sample with the answer that it is trained on.

    `copy` numbers the times that a sample stands in a mix that repeats some.
    """

    sample: Sample
    answer: Any
    copy: int = 0


def make_mix(
    mix: Mix,
    folders: Mapping[str, Path],
    forbidden: Sequence[str],
    size: int,
    out: Path,
    policy: Literal["drop", "report", "error"] = "drop",
    distance: int = 0,
    lengths: Iterable[Path] = (),
) -> None:
    """Write the samples of `mix` to the Parquet file `out`.

    `folders` leads from its subsets and targets to their prepared data, `forbidden` are the targets
    that are held out wherever this mix is used, `size` is the number of samples of every trained
    arm of the experiments that use it. Training images that show a test image of the mix's targets,
    within a `distance` of so many bits, are not drawn, nor is what one of the mix's backbones is
    not asked, by the files `lengths`. The file's metadata say what it was made of.

    Raises:
        DataError: a part is a held-out target, is smaller than asked, or is given twice, or the
            whole is not of the size that the other arms have; or the policy is `error` and there
            are leaks; or the data are not those that the name of `out` stands for.
    """
    _check(mix, forbidden)
    label = _label(mix, folders)
    require(out, out.stem, label["digest"], "its data and settings have the digest")
    leaks = barred(mix.id, policy, leaks_of(mix, folders, distance))
    left_out = {(leak.source, leak.train): "show a target's test images" for leak in leaks}
    left_out |= _not_asked(mix, lengths)
    drawn: list[Drawn] = []
    for subset, n in mix.parts:
        names = {name: why for (source, name), why in left_out.items() if source == subset}
        chosen = draw_samples(mix, subset, n, folders[subset], names)
        drawn += shuffle_labels(chosen, mix.seed) if mix.labels == "shuffled" else chosen
    found = {each.sample.subset for each in drawn}
    if len(drawn) != size or found & set(forbidden):
        held = f"{len(drawn)} samples of {', '.join(sorted(found))}"
        asked = f"{size} in every arm, none of {', '.join(sorted(forbidden))}"
        raise DataError(f"mix {mix.id}: {held}, not as asked: {asked}; mend the rule that chose it")
    drawn.sort(key=lambda each: _place(each, mix.seed, "order"))
    _write(out, drawn, {**label, "left_out": sorted(left_out)})


def _not_asked(mix: Mix, lengths: Iterable[Path]) -> dict[tuple[str, str], str]:
    """Return the training samples that one of a mix's backbones is not asked, by subset and id."""
    found: dict[tuple[str, str], str] = {}
    measured: dict[str, set[str]] = defaultdict(set)
    for path in lengths:
        subset = plain(path.stem)
        measured[subset].add(path.parents[1].name)
        found |= dict.fromkeys(
            ((subset, name) for name in told.set_aside(path)["train"]),
            "cannot be asked of all backbones, by their context or for special tokens",
        )
    for subset, _ in mix.parts:
        if missing := set(mix.measured) - measured[subset]:
            raise DataError(f"mix {mix.id}: {subset} was not measured by {', '.join(missing)}")
    return found


def _label(mix: Mix, folders: Mapping[str, Path]) -> dict[str, Any]:
    """Return what a mix says of itself, its digest by what the data say of themselves."""
    parts = {name: told.samples_digest(folders[name] / "train.parquet") for name, _ in mix.parts}
    targets = {name: told.samples_digest(folders[name] / "test.parquet") for name in mix.targets}
    return {
        "mix": mix.id,
        "digest": mix.digest_of(parts, targets),
        "parts": mix.parts,
        "seed": mix.seed,
        "labels": mix.labels,
        "repeat": mix.repeat,
        "targets": mix.targets,
        "measured": mix.measured,
        "folders": {name: folders[name].name for name, _ in mix.parts},
    }


def leaks_of(mix: Mix, folders: Mapping[str, Path], distance: int) -> list[Leak]:
    """Return the training images of a mix's subsets that show a test image of its targets.

    They are looked for here and not looked up, since a table of all that is planned would be made
    anew, and all mixes with it, whenever something is added to the plan.
    """
    if not mix.targets:
        return []
    sources = [name for name, _ in mix.parts]
    search = Search(mix.catalog, mix.targets, sources, distance, folders)
    return find_leaks(search, pixels=False)


def _check(mix: Mix, forbidden: Sequence[str]) -> None:
    subsets = [subset for subset, _ in mix.parts]
    for subset, n in mix.parts:
        if subset in forbidden:
            raise DataError(
                f"mix {mix.id}: subset {subset} is the held-out target of a run on this mix; "
                "its data must not be trained on, mend the rule that chose it"
            )
        if n < 1 or subsets.count(subset) > 1:
            raise DataError(
                f"mix {mix.id}: subset {subset} asked {n} samples, named "
                f"{subsets.count(subset)} times; name it once with one sample or more"
            )


def draw_samples(
    mix: Mix, subset: str, n: int, folder: Path, left_out: Mapping[str, str] = MappingProxyType({})
) -> list[Drawn]:
    """Return `n` training samples of one subset with their true answers, balanced by label.

    Where the subset has fewer, a mix that repeats takes them round after round.

    Raises:
        DataError: the subset has fewer and the mix repeats none, or it has none at all.
    """
    there = read_samples(folder / "train.parquet", pictures=False)
    ordered = _ordered(there, derive(mix.seed, "mix", subset), left_out)
    if len(ordered) < n and not (mix.repeat and ordered):
        reasons = Counter(left_out[s.sample_id] for s in there if s.sample_id in left_out)
        why = f" ({', '.join(f'{n} more {why}' for why, n in reasons.items())})" if reasons else ""
        raise DataError(
            f"mix {mix.id}: subset {subset} has {len(ordered)} training samples{why}, {n} were "
            "asked; lower the experiment's samples, raise the catalog's split.train or "
            "split.reserve, say `short: repeat`, or say `short: others` and how many it has in "
            f"the catalog (`train: {len(ordered)}`)"
        )
    rounds = -(-n // len(ordered)) if n else 0
    copies = ((sample, copy) for copy in range(rounds) for sample in ordered)
    return [
        Drawn(sample, forms.of(sample).truth(sample), copy) for sample, copy in islice(copies, n)
    ]


def _ordered(there: Sequence[Sample], seed: int, left_out: Collection[str]) -> list[Sample]:
    """Return what may be drawn, balanced by label; reserves come last, one for each left out."""
    main = [each for each in there if not each.reserve]
    kept = [each for each in main if each.sample_id not in left_out]
    spare = [each for each in there if each.reserve and each.sample_id not in left_out]
    return balanced_order(kept, seed) + balanced_order(spare, seed)[: len(main) - len(kept)]


def shuffle_labels(drawn: Sequence[Drawn], seed: int) -> list[Drawn]:
    """Return the samples of one subset, each with the answer of another one drawn at random.

    The answers are permuted, so every one is as frequent as before, as far as the form allows.
    """
    dealt = sorted(drawn, key=lambda each: _place(each, seed, "labels"))
    return [
        replace(each, answer=forms.of(each.sample).dealt(each.sample, other.sample, seed))
        for each, other in zip(drawn, dealt, strict=True)
    ]


def _place(each: Drawn, seed: int, purpose: str) -> int:
    """Return where a sample comes in an order that depends on nothing else in the mix."""
    copy = (str(each.copy),) if each.copy else ()
    return derive(seed, purpose, each.sample.subset, each.sample.sample_id, *copy)


def _answers(form: forms.Form, drawn: Sequence[Drawn]) -> list[Any]:
    """Return what a form's samples are trained on, as a column of a mix; null for all others."""
    return [form.packed(each.answer) if forms.of(each.sample) is form else None for each in drawn]


def _write(out: Path, drawn: Sequence[Drawn], label: Mapping[str, Any]) -> None:
    held = list(dict.fromkeys(forms.of(each.sample) for each in drawn))
    columns: list[list[Any]] = [
        list(range(len(drawn))),
        [each.sample.subset for each in drawn],
        [each.sample.sample_id for each in drawn],
        *(_answers(form, drawn) for form in held),
    ]
    schema = pa.schema([*MIX_SCHEMA, *(form.answer for form in held)])
    arrays = [pa.array(values, each.type) for values, each in zip(columns, schema, strict=True)]
    out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(arrays, schema=labelled(schema, label)), out, compression="zstd")
