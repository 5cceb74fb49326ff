"""Samples of the phantom world as a source like any other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matcg.config.catalog import Split, SubsetSpec
from matcg.data.candidates import Quarantined, Source, pool_of
from matcg.data.sampling import marks
from matcg.phantom import world


def read_world(
    subset: SubsetSpec, options: Mapping[str, Any], root: Path | None, caps: Split
) -> Source:
    """Generate as many samples as the caps ask; the phantom world has its own test split."""
    del root
    train = list(world.generate(subset, options, "train", caps.train))
    samples = train + list(world.generate(subset, options, "test", caps.test))
    columns = zip(*((s.sample_id, s.label, s.origin, s.group) for s in samples), strict=True)
    return Source(
        pool=pool_of(*map(list, columns)),
        load=samples.__getitem__,
        reject=lambda at, why: Quarantined("-", samples[at].sample_id, why, samples[at].origin),
        rows=len(samples),
        tests=marks(len(samples), range(len(train), len(samples))),
    )
