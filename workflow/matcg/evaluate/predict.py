"""Answers of all runs of one backbone to one target's test questions.

Answers are kept per run in a store that Snakemake does not know, so that a run added later, or a
job killed halfway, recomputes no answer that is still valid.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from matcg import throughput, versions
from matcg.config import LETTERS, Backbone, Protocol
from matcg.evaluate.adapters import merge, rank_of
from matcg.evaluate.asking import SCHEMA, make_asks, tabulate
from matcg.evaluate.engine import start
from matcg.provenance import device_name
from matcg.samples import read_samples


def predict(
    runs: Mapping[str, Path],
    test: Path,
    backbone: Backbone,
    engine: Mapping[str, Any],
    out: Path,
    store: Path,
) -> None:
    """Answer `test` with every run's weights; write one row a run and question to `out`.

    `runs` maps run keys to weight folders; "baseline" is the backbone itself.
    """
    begun = time.perf_counter()
    samples = read_samples(test)
    digests = {key: answer_digest(key, weights, test, backbone) for key, weights in runs.items()}
    kept = {key: _stored(store, key, digests[key]) for key in runs}
    missing = [key for key in runs if kept[key] is None]
    protocol = Protocol(name=LETTERS)
    asks = make_asks(samples, protocol, backbone) if missing else []
    merged = store / "merged"
    running = (
        start(_whole(runs[missing[0]], backbone, merged), backbone, engine) if missing else None
    )
    for number, key in enumerate(missing):
        assert running is not None
        if number:
            running.load(_whole(runs[key], backbone, merged))
        replies = running.ask(asks, protocol)
        table = tabulate(key, samples, protocol, asks, replies, running.letters)
        _keep(store, key, digests[key], table)
        kept[key] = table
        print(f"{key}: {len(samples)} questions answered", flush=True)
    shutil.rmtree(merged, ignore_errors=True)
    if missing:
        seconds = time.perf_counter() - begun
        throughput.note(store, len(missing) * len(samples), seconds, device_name())
    out.parent.mkdir(parents=True, exist_ok=True)
    # A kept table carries metadata: without it the same answers give the same bytes.
    tables = [table.cast(SCHEMA) for table in kept.values() if table is not None]
    pq.write_table(pa.concat_tables(tables), out, compression="zstd")


def answer_digest(key: str, weights: Path, test: Path, backbone: Backbone) -> str:
    """Return what a run's answers depend on: weights, questions, how they are asked."""
    digest = hashlib.sha256(f"{versions.PREDICT} {key} {backbone.identity()}".encode())
    for file in [*sorted(weights.glob("*.safetensors")), test]:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _whole(weights: Path, backbone: Backbone, out: Path) -> Path:
    """Return a folder with a run's whole weights, made at `out` where it holds an adapter."""
    return merge(weights, backbone, out) if rank_of(weights) else weights


def _file(store: Path, key: str) -> Path:
    return store / (key.replace("/", "__") + ".parquet")


def _stored(store: Path, key: str, digest: str) -> pa.Table | None:
    """Return a run's kept answers where they are still valid."""
    file = _file(store, key)
    if not file.is_file():
        return None
    table = pq.read_table(file)
    record = json.loads((table.schema.metadata or {}).get(b"matcg", b"{}"))
    return table if record.get("digest") == digest else None


def _keep(store: Path, key: str, digest: str, table: pa.Table) -> None:
    """Write a run's answers so that they are there whole or not at all."""
    store.mkdir(parents=True, exist_ok=True)
    file = _file(store, key)
    part = file.with_suffix(".part")
    labelled = table.replace_schema_metadata({"matcg": json.dumps({"digest": digest})})
    pq.write_table(labelled, part, compression="zstd")
    part.replace(file)
