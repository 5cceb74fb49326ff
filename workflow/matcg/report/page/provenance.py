"""What made a report and its runs: versions, commit, code, hardware; never the time of day."""

import platform
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matcg.provenance import PACKAGES, checkout, installed, read_record
from matcg.samples import label_of

ENGINE_TIMES = ("starts", "start_s", "loads", "load_s", "answer_s", "questions", "seconds")
_NONE = "not recorded"


def versions() -> dict[str, str]:
    """Return the versions of Python and of every package that is installed here."""
    return {"python": platform.python_version(), "platform": platform.platform(), **installed()}


def commit() -> str:
    """Return the checked-out commit, with a note where files differ from it; empty outside git."""
    return _commit({"git": checkout()}) or ""


def _commit(record: Mapping[str, Any]) -> str | None:
    git = record.get("git") or {}
    head = git.get("commit")
    return f"{head} (with uncommitted changes)" if head and git.get("changed") else head


def made_by(records: Sequence[Mapping[str, Any]], kind: str) -> str:
    """Return a line for each thing that made some records, with its values and where they differ.

    `kind` names what the records are of, "run" say. Values that not all share are counted.
    """
    if not records:
        return ""
    facts: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        for name, value in _facts(record).items():
            facts[name][value or _NONE] += 1
    for found in facts.values():
        if found.total() < len(records):
            found["none"] = len(records) - found.total()
    lines = [f"{name}: {_counted(found, kind)}" for name, found in facts.items()]
    differ = sum(len(found) > 1 for found in facts.values())
    alike = f"{differ} of {len(facts)} lines differ between them" if differ else "made alike"
    return "\n".join([f"{_number(len(records), kind)}, {alike}", *lines])


def _facts(record: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what made a record, by name; None for what it does not say."""
    there = record.get("hardware") or {}
    cpu = f"{there['cpu']}, {there['cores']} cores" if there.keys() >= {"cpu", "cores"} else None
    packages = record.get("packages") or {}
    cuda = there.get("cuda")
    return {
        "commit": _commit(record),
        "digest of the code": record.get("code"),
        "device": _gpus(there.get("gpus")) or record.get("device"),
        **({"CUDA": f"{cuda}, driver {there.get('driver') or _NONE}"} if cuda else {}),
        "processor": cpu,
        "python": record.get("python"),
        **{name: packages[name] for name in PACKAGES if name in packages},
    }


def _gpus(gpus: Sequence[Mapping[str, Any]] | None) -> str | None:
    """Return the GPUs that a job saw in words, with their number where there are several."""
    named = Counter(str(gpu.get("name")) for gpu in gpus or ())
    return ", ".join(f"{n} x {name}" if n > 1 else name for name, n in named.items()) or None


def _counted(found: Counter[str], kind: str) -> str:
    """Return the value that all share, or each with how many have it, the most frequent first."""
    if len(found) == 1:
        return next(iter(found))
    values = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return "; ".join(f"{value} ({_number(n, kind)})" for value, n in values)


def _number(n: int, kind: str) -> str:
    return f"{n:,} {kind}{'' if n == 1 else 's'}"


def run_records(runs: Iterable[tuple[str, Path]]) -> dict[tuple[str, str], Any]:
    """Return the provenance.json of every run that has one, by backbone and place below it.

    `runs` are pairs of backbone and folder.
    """
    records = {
        (backbone, "/".join(folder.parts[-3:])): read_record(folder / "provenance.json")
        for backbone, folder in runs
    }
    return {key: record for key, record in records.items() if record}


def first_runs(records: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    """Return the whole record of the first run of each backbone, with its key."""
    found: dict[str, Any] = {}
    for (backbone, key), record in records.items():
        found.setdefault(backbone, {"run": key, **record})
    return found


def engine_records(answers: Iterable[Path]) -> list[dict[str, Any]]:
    """Return what the engines did that gave some answers, a group of runs once.

    Every file of answers names the record of the group; where that is gone it is left out.
    """
    paths = {path for path in map(_record_of, answers) if path}
    found = [read_record(path) for path in sorted(paths)]
    return [record for record in found if record.keys() >= {*ENGINE_TIMES, "device"}]


def _record_of(answers: Path) -> Path | None:
    label = label_of(answers)
    place, record = str(label.get("place", "")), label.get("record")
    if not record:
        return None
    return Path(str(answers).removesuffix(place)) / place.split("/")[0] / f"{record}.json"


def engine_times(records: Iterable[Mapping[str, Any]]) -> str:
    """Return a line a device: what the engines did that answered; empty where there is none."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for record in records:
        for name in ENGINE_TIMES:
            sums[str(record["device"])][name] += float(record[name])
        sums[str(record["device"])]["ties"] += float(record.get("ties", 0))  # older ones lack it
    return "\n".join(f"{device}: {_engine_line(times)}" for device, times in sorted(sums.items()))


def _engine_line(times: Mapping[str, float]) -> str:
    starts, asked, answering = times["starts"], times["questions"], times["answer_s"]
    parts = [f"{starts:.0f} engine start{'' if starts == 1 else 's'}"]
    parts += [f"{times['start_s'] / starts:.1f} s a start"] if starts else []
    parts += [f"{times['loads']:.0f} swaps of weights in {times['load_s']:.1f} s"]
    parts += [f"{asked:,.0f} questions in {answering:,.1f} s"]
    parts += [f"{times['ties']:,.0f} of them tied"] if times["ties"] else []
    parts += [f"{asked / answering:,.1f} a second"] if answering else []
    parts += [f"{times['seconds']:,.1f} s in all"]
    return ", ".join(parts)
