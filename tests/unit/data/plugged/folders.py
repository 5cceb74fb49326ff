"""A reader that only tests have: a folder a label, a picture a sample."""

from pathlib import Path
from typing import Any

from matcg.config.catalog import Split, SubsetSpec
from matcg.data.candidates import Quarantined, Source, pool_of
from matcg.data.readers import Reader
from matcg.errors import ConfigError
from matcg.samples import Sample


def check(options: dict[str, Any]) -> None:
    if set(options) - {"question"}:
        raise ConfigError("reader folders: the only option is question")


def read(subset: SubsetSpec, options: dict[str, Any], root: Path | None, caps: Split) -> Source:
    del caps
    files = sorted((root or Path()).glob(f"{subset.id}/*/*.png"))
    labels = [file.parent.name for file in files]
    names = tuple(sorted(set(labels)))

    def load(at: int) -> Sample:
        return Sample(
            sample_id=files[at].stem,
            subset=subset.id,
            image=files[at].read_bytes(),
            fingerprint="",
            origin=files[at].name,
            question=options.get("question", "What is it?"),
            options=names,
            answer=names.index(labels[at]),
            label=labels[at],
            dataset="",
        )

    return Source(
        pool=pool_of([file.stem for file in files], labels, [file.name for file in files]),
        load=load,
        reject=lambda at, why: Quarantined("-", files[at].stem, why, files[at].name),
        rows=len(files),
    )


READER = Reader(read, check=check, threads=2)
