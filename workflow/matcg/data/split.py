"""Who is trained on and who is tested on: pure functions of sample metadata.

Every choice ranks samples by a hash of seed and sample id, so none depends on the order of the
source, and adding samples elsewhere moves none. Images are never looked at: `Sample.image` may be
empty here.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from matcg.errors import DataError
from matcg.samples import Sample
from matcg.seeds import derive


def rank(sample: Sample, seed: int) -> tuple[int, str]:
    """Return the key that puts samples into the random order of `seed`."""
    return derive(seed, sample.sample_id), sample.sample_id


def balanced_order(samples: Iterable[Sample], seed: int) -> list[Sample]:
    """Return the samples in an order of which every beginning is as label-balanced as can be.

    One sample of each label in turn; a label that runs out leaves the others to go on. The first n
    thus differ by at most one between labels that have enough, and 300 begin with the same 20.
    """
    queues = by_label(sorted(samples, key=lambda sample: rank(sample, seed)))
    turn = {label: derive(seed, "label", label) for label in queues}
    places = [
        (place, turn[label], label, sample)
        for label, queue in queues.items()
        for place, sample in enumerate(queue)
    ]
    return [sample for *_, sample in sorted(places, key=lambda each: each[:3])]


def by_label(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """Return the samples of each label, labels sorted, samples in the given order."""
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[sample.label].append(sample)
    return dict(sorted(found.items()))


def strictly_balanced(samples: Iterable[Sample], cap: int, seed: int) -> list[Sample]:
    """Return as many samples as give every label the same number, at most `cap` in all.

    Raises:
        DataError: `cap` holds less than one sample of each label.
    """
    samples = list(samples)
    labels = by_label(samples)
    if not labels:
        return []
    if cap < len(labels):
        raise DataError(
            f"a test set of {cap} cannot hold one sample of each of {len(labels)} labels; "
            f"raise split.test to {len(labels)} or more"
        )
    each = min(cap // len(labels), *(len(found) for found in labels.values()))
    return balanced_order(samples, seed)[: each * len(labels)]


def clusters(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Return the samples in sets that must stay on one side.

    Samples of one group (patient, sequence) and samples of one image (equal digest) hang together,
    also through others.
    """
    parent: dict[str, str] = {}

    def find(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = key = parent[parent[key]]
        return key

    for sample in samples:
        if sample.group:
            parent[find(f"group {sample.group}")] = find(f"image {sample.digest}")
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[find(f"image {sample.digest}")].append(sample)
    return list(found.values())


def by_fraction(
    samples: Sequence[Sample], fraction: float, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Return training and test samples, about `fraction` of every label in the test.

    Whole clusters move, so that no group and no image is on both sides. A cluster goes to the test
    when more of it is wanted there than not; a label that would get nothing that way gives its
    smallest cluster. No label loses its last training cluster: one with a single cluster is only
    trained on.
    """
    units = sorted(clusters(samples), key=lambda unit: min(rank(each, seed) for each in unit))
    counts = [Counter(sample.label for sample in unit) for unit in units]
    spare = Counter(label for count in counts for label in count)
    want = {
        label: max(1, int(fraction * len(found) + 0.5))
        for label, found in by_label(samples).items()
    }
    given: Counter[str] = Counter()
    tested: set[int] = set()

    def take(at: int) -> None:
        tested.add(at)
        given.update(counts[at])
        spare.subtract(counts[at].keys())

    for at, count in enumerate(counts):
        wanted = sum(min(n, max(0, want[label] - given[label])) for label, n in count.items())
        if 2 * wanted > count.total() and all(spare[label] > 1 for label in count):
            take(at)
    for label in want:
        left = [
            (count.total(), at)
            for at, count in enumerate(counts)
            if count[label] and all(spare[other] > 1 for other in count)
        ]
        if not given[label] and left:
            take(min(left)[1])
    train = [sample for at, unit in enumerate(units) if at not in tested for sample in unit]
    return train, [sample for at in sorted(tested) for sample in units[at]]


def clashes(train: Iterable[Sample], test: Iterable[Sample]) -> dict[str, str]:
    """Return why training samples of a source's own split must go: sample id -> reason.

    The source's test samples stay, since they are what others report on.
    """
    images = {sample.digest: sample.sample_id for sample in test}
    groups = {sample.group: sample.sample_id for sample in test if sample.group}
    reasons = {}
    for sample in train:
        if sample.digest in images:
            reasons[sample.sample_id] = f"image also in test: {images[sample.digest]}"
        elif sample.group in groups:
            reasons[sample.sample_id] = f"group also in test: {groups[sample.group]}"
    return reasons
