"""Measures reading and splitting a release, hashing images and finding near duplicates.

`python tests/benchmarks/run_release.py [rows] [images] [pairs] [--rows 2400000] [--repeats 3]
[--venv FOLDER]` does all three parts, or those named, and prints a row for docs/benchmarks.md for
each thing measured. All input is invented in temporary folders or in memory.

`rows`: 37 JSON files as `json.dump` writes them, the largest with 24 % of the rows, every third
with patients in its image paths and `group_by`. Three ways take turns, each in new processes, in
one process and in as many as there are cores, to which files are dealt out longest first. The
clock starts once everything is imported. Seconds are "best to worst" of the repeats, ratios are of
the best.

- orjson: `orjson.loads` of each file; the seconds of the loads alone, and with reading the bytes.
- ours: `read_table`, the pool, the split and each label's order, as a `prepare` job does before it
  looks at images. That images exist (`count_images`) is not checked: there are none.
- datasets: `load_dataset("json")` with an empty cache, its columns through the same functions.

All must count the same rows, the last two must draw the same samples, and no row may be set aside.
Memory is the peak of each process of ours; the sum adds up peaks that need not coincide. orjson and
datasets live in an environment of the benchmark's own, kept where --venv says.

`images`: Pillow's `Image.open(...).load()` against `fingerprint`, and the SHA-256 of decoded pixels
(only taken of pairs found near), in threads as `matcg.data.sampling` does. JPEG may pass 100 %:
`fingerprint` lets the decoder halve large ones. Rates over several kinds are of as many pictures of
each kind.

`pairs`: `near_pairs` in one process, of random hashes and of *alike* ones, which differ from a
common pattern in a fifth of their bits as scans of one kind do. Exactly the planted pairs must be
found.
"""

import argparse
import datetime as dt
import hashlib
import importlib
import io
import json
import multiprocessing
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from run_default import ROOT, machine, version

HERE = Path(__file__).parent
CORES = os.cpu_count() or 1
PARTS = ("rows", "images", "pairs")


def main() -> None:
    """Measure what is asked for."""
    settings = parse()
    sys.path[:0] = [str(ROOT / "workflow")]
    measured_version()
    # First of all while this process is small: a child's peak memory begins with its parent's.
    if "rows" in settings.parts:
        measure_rows(settings.rows, settings.repeats, settings.venv)
    if "images" in settings.parts:
        measure_images(settings.repeats)
    if "pairs" in settings.parts:
        measure_pairs()


def parse() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}; all without any")
    parser.add_argument("--rows", type=int, default=2_400_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--venv", type=Path, help="made where it does not exist, and kept")
    settings = parser.parse_args()
    if unknown := set(settings.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    settings.parts = settings.parts or list(PARTS)
    return settings


def show_head(*names: str) -> None:
    """Print the head of a table."""
    names = ("date", "version", "machine", *names)
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}", flush=True)


def show(cores: int, *cells: str) -> None:
    """Print a row of a table."""
    where = dt.date.today().isoformat(), measured_version(), machine(cores)
    print(f"| {' | '.join([*where, *cells])} |", flush=True)


@cache
def measured_version() -> str:
    """Return the version when first asked: the checkout may move on during minutes of measuring."""
    return version()


# --- An invented release -------------------------------------------------------------------------

SUBSETS = 37
LARGEST = 31  # the one of many chest X-rays
CHUNK = 10_000
INDENTED = 2  # place by size of the file that is written with indent
REPEATED = 0.1  # rows that ask about the picture of another row
ROWS_OF_PATIENT = 5
GROUP_BY = r"patient(\d+)"
STAGES = ("Early", "Advanced", "Benign", "Malignant", "Chronic", "Severe")
FINDINGS = ("carcinoma", "effusion", "opacity", "nodule", "inflammation")
WORDINGS = (
    "What does this {} image show? Choose the finding that describes it best.",
    "Please determine the condition of the region that is visible in this {} image.",
    "Review the {} image and decide which of the following findings it presents.",
    "This is a {} image. Which of the diagnoses below is the most appropriate one?",
    "Identify the main abnormality, if there is one, in the given {} image.",
    "Judging from this {} image, what is the patient\N{RIGHT SINGLE QUOTATION MARK}s condition?",
)
CLOSING = "Answer with the option's letter from the given choices directly."


@dataclass(frozen=True)
class Subset:
    """An invented subset; `place` is its place by size, from 0."""

    id: str
    place: int
    rows: int

    @property
    def labels(self) -> int:
        """Return the number of labels, 2 to 17: 15 in the largest, every number in some."""
        return 2 + (13 + 5 * self.place) % 16


def subsets_of(rows: int) -> list[Subset]:
    """Return the subsets by size: as the sources' numbers of images, few hold most rows."""
    numbers = [number for number in range(1, SUBSETS + 1) if number != LARGEST]
    random.Random(0).shuffle(numbers)
    shares = [1 / place for place in range(1, SUBSETS + 1)]
    counts = [round(rows * share / sum(shares)) for share in shares[1:]]
    counts.insert(0, rows - sum(counts))
    pairs = zip([LARGEST, *numbers], counts, strict=True)
    return [Subset(f"{number:02d}", at, n) for at, (number, n) in enumerate(pairs)]


def is_grouped(subset: str) -> bool:
    """Tell whether a subset gets a `group_by`."""
    return int(subset) % 3 == LARGEST % 3


def write_subset(folder: Path, subset: Subset) -> None:
    """Write the JSON file of a subset."""
    rows = invented(subset)
    indent = 1 if subset.place == INDENTED else None
    between = ",\n" if indent else ", "
    with (folder / f"Subset--{subset.id}-train.json").open("w", encoding="utf-8") as file:
        for start in range(0, subset.rows, CHUNK):
            part = [next(rows) for _ in range(min(CHUNK, subset.rows - start))]
            text = json.dumps(part, indent=indent)[1:-1].strip("\n")
            file.write((between if start else "[") + text)
        file.write("]")


def invented(subset: Subset) -> Iterator[dict[str, Any]]:
    """Yield rows: labels of very different frequency, up to four options in random order."""
    chance = random.Random(subset.id)
    names = [f"{stage} {finding}" for stage, finding in product(STAGES, FINDINGS)]
    labels = chance.sample(names, subset.labels)
    weights = [1 / place for place in range(1, len(labels) + 1)]
    wordings = [text.format(f"type {subset.id} scan") for text in WORDINGS]
    images: list[str] = []
    for number in range(1, subset.rows + 1):
        label = chance.choices(labels, weights)[0]
        images.append(image_of(chance, images, number, label, subset))
        yield row(chance, number, label, labels, images[-1], chance.choice(wordings))


def image_of(
    chance: random.Random, images: Sequence[str], number: int, label: str, subset: Subset
) -> str:
    """Return an image path, now and then one that was there before."""
    if images and chance.random() < REPEATED:
        return chance.choice(images)
    patient = chance.randrange(subset.rows // ROWS_OF_PATIENT + 1)
    folder = f"med-mat/Collection {subset.id} (resized, cleaned)/train/{label}"
    return f"{folder}/patient{patient:06d}_{number:06d} ({chance.randrange(10)}).png"


def row(
    chance: random.Random, number: int, label: str, labels: Sequence[str], image: str, question: str
) -> dict[str, Any]:
    """Return a row of the release."""
    options = chance.sample([other for other in labels if other != label], min(3, len(labels) - 1))
    answer = chance.randrange(len(options) + 1)
    options.insert(answer, label)
    lines = [f"{letter}: {text}" for letter, text in zip("ABCD", options, strict=False)]
    return {
        "id": number,
        "caption": label,
        "image": image,
        "Question": question,
        "Answer": label,
        "Question-choice": "\n".join([question, *lines, CLOSING]),
        "Answer-choice": "ABCD"[answer],
        "data-no": str(60 + number % 7),
    }


# --- Rows ----------------------------------------------------------------------------------------

PEERS = ("orjson==3.13.0", "datasets==5.2.0")
SHARED = ("numpy", "pandas", "pyarrow", "psutil")  # of the versions that ours runs with
TRAIN, TEST, FRACTION, SEED = 3000, 1000, 0.1, 42  # as in catalogs/medmat.yaml


@dataclass(frozen=True)
class Part:
    """One file read: its rows, those set aside, what was drawn; seconds; who did it.

    `loading` is what orjson's loads alone took; `peak` the most memory of the process so far, in
    MB.
    """

    rows: int
    bad: int
    drawn: str
    began: float
    ended: float
    loading: float
    process: int
    peak: float


@dataclass(frozen=True)
class Whole:
    """A release read: sums of its parts, wall time, and the peak of each process in MB."""

    rows: int
    bad: int
    drawn: list[str]
    seconds: float
    loading: float
    peaks: list[float]


def measure_rows(rows: int, repeats: int, kept: Path | None) -> None:
    """Invent a release, let all ways read it in turn, and print the row."""
    with tempfile.TemporaryDirectory() as scratch:
        python = environment(kept or Path(scratch, "venv"))
        folder = Path(scratch, "Aggregated_Subsets")
        folder.mkdir()
        with spawned(CORES) as pool:
            list(pool.map(write_subset, [folder] * SUBSETS, subsets_of(rows)))
        size = sum(len(path.read_bytes()) for path in folder.iterdir())  # and into the page cache
        done = take_turns(folder, python, repeats)
    check(rows, done)
    show_rows(rows, size, done)


def environment(folder: Path) -> Path:
    """Return the Python of an environment with the peers, made where there is none."""
    python = folder / "bin" / "python"
    probe = [str(python), "-c", "import orjson, datasets, psutil"]
    if not python.exists() or subprocess.run(probe, capture_output=True, check=False).returncode:
        venv.create(folder, with_pip=True)
        wanted = [*PEERS, *(f"{name}=={metadata.version(name)}" for name in SHARED)]
        install = [str(python), "-m", "pip", "install", "-q", *wanted]
        subprocess.run(install, check=True, stdout=sys.stderr)
    return python


def spawned(processes: int, *initial: Any) -> ProcessPoolExecutor:
    """Return a pool of new processes that inherit nothing."""
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), *initial)


def take_turns(folder: Path, python: Path, repeats: int) -> dict[tuple[str, int], list[Whole]]:
    """Return what each way took, by way and processes; every other round is in reverse."""
    order = [(way, processes) for way in WAYS for processes in dict.fromkeys((1, CORES))]
    done: dict[tuple[str, int], list[Whole]] = {key: [] for key in order}
    for turn in range(repeats):
        for way, processes in order[:: -1 if turn % 2 else 1]:
            whole = read_in(
                python if way != "ours" else Path(sys.executable), folder, way, processes
            )
            done[way, processes].append(whole)
            told = f"{whole.seconds:.2f} s, peak {max(whole.peaks):.0f} MB"
            print(f"{way}, {processes} processes: {told}", file=sys.stderr, flush=True)
    return done


def read_in(python: Path, folder: Path, way: str, processes: int) -> Whole:
    """Return what `read_all` takes in an interpreter."""
    call = f"import run_release as r; r.read_all({str(folder)!r}, {way!r}, {processes})"
    own = {
        "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT / "workflow")]),
        "HF_HOME": str(folder.parent / "home"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }
    said = subprocess.run(
        [python, "-c", call], env=os.environ | own, stdout=subprocess.PIPE, text=True, check=True
    )
    return Whole(**json.loads(said.stdout.splitlines()[-1]))


def read_all(folder: str, way: str, processes: int) -> None:
    """Let processes read all files of a release, longest first; print the `Whole`."""
    files = sorted(Path(folder).iterdir(), key=lambda path: path.stat().st_size, reverse=True)
    n = min(processes, len(files))
    ready = multiprocessing.get_context("spawn").Barrier(n)
    with (
        tempfile.TemporaryDirectory(dir=Path(folder).parent) as cache,
        spawned(n, get_ready, (way, ready)) as pool,
    ):
        parts = list(pool.map(WAYS[way], files, [cache] * len(files)))
    peaks = {
        part.process: max(p.peak for p in parts if p.process == part.process) for part in parts
    }
    whole = Whole(
        rows=sum(part.rows for part in parts),
        bad=sum(part.bad for part in parts),
        drawn=[part.drawn for part in parts],
        seconds=max(part.ended for part in parts) - min(part.began for part in parts),
        loading=sum(part.loading for part in parts),
        peaks=list(peaks.values()),
    )
    print(json.dumps(asdict(whole)))


def get_ready(way: str, ready: Any) -> None:
    """Import what a way needs, and wait until all processes have."""
    for name in NEEDED[way]:
        importlib.import_module(name)
    ready.wait()


def read_by_orjson(path: Path, cache: str) -> Part:
    """Parse a file."""
    import orjson

    del cache
    began = time.perf_counter()
    data = path.read_bytes()
    loading = time.perf_counter()
    rows = orjson.loads(data)
    loading = time.perf_counter() - loading
    n = len(rows)
    del rows
    return part_of(began, n, loading=loading)


def read_by_ours(path: Path, cache: str) -> Part:
    """Do what a `prepare` job does before it looks at images."""
    from matcg.config.reader_options import Options, groups_in
    from matcg.data.release_table import read_table

    del cache
    began = time.perf_counter()
    subset = subset_of(path)
    options = Options.parse({"group_by": GROUP_BY} if is_grouped(subset) else {})
    table = read_table(path, path.name, subset, options)
    labels = np.array(table.labels, dtype=object)[np.array(table.label)]
    groups = groups_in(table.images, options.group_by)
    drawn = split(subset, table.ids, labels, table.images, groups)
    if table.bad:
        print(f"{path.name}: {table.bad[:3]}", file=sys.stderr)
    return part_of(began, table.rows, len(table.bad), drawn)


def read_by_datasets(path: Path, cache: str) -> Part:
    """Load a file as a dataset and split it in the same way."""
    from datasets import load_dataset

    from matcg.forms.choice import normal

    began = time.perf_counter()
    subset = subset_of(path)
    own = f"{cache}/{subset}"
    data = load_dataset("json", data_files=str(path), split="train", cache_dir=own)
    answers, images = data["Answer"][:], data["image"][:]
    plain = {answer: normal(answer) for answer in set(answers)}
    pairs = zip(data["data-no"][:], data["id"][:], strict=True)
    ids = [f"{subset}-{dataset}-{number}" for dataset, number in pairs]
    pattern = re.compile(GROUP_BY)
    groups = [found(pattern, path) for path in images] if is_grouped(subset) else None
    drawn = split(subset, ids, [plain[answer] for answer in answers], images, groups)
    return part_of(began, len(data), 0, drawn)


WAYS = {"orjson": read_by_orjson, "ours": read_by_ours, "datasets": read_by_datasets}
NEEDED = {
    "orjson": ["orjson"],
    "ours": ["matcg.data.release_table"],
    "datasets": ["datasets", "matcg.forms.choice"],
}


def subset_of(path: Path) -> str:
    """Return the subset of a file."""
    return path.stem.split("-")[2]


def found(pattern: re.Pattern[str], image: str) -> str:
    """Return the patient in an image path."""
    match = pattern.search(image)
    return match[1] if match else ""


def split(subset: str, ids: Any, labels: Any, images: Any, groups: Any) -> str:
    """Split and draw without images, as `matcg.data.prepare`; return a digest of who is drawn."""
    from matcg.data.candidates import pool_of
    from matcg.data.split import by_fraction, queues
    from matcg.seeds import derive

    if len(set(ids)) < len(ids):
        sys.exit(f"subset {subset}: an id occurs twice")
    seed = derive(SEED, "split", subset)
    pool = pool_of(ids, labels, images, groups)
    ranks = pool.ranks(seed)
    tests = by_fraction(pool, FRACTION, ranks)
    drawn = [
        part[: cap // len(pool.names)]
        for marks, cap in ((tests, TEST), (~tests, TRAIN))
        for part in queues(pool, marks, ranks)
    ]
    text = "\n".join(ids[at] for part in drawn for at in part)
    return hashlib.sha256(f"{tests.sum()}\n{text}".encode()).hexdigest()


def part_of(began: float, rows: int, bad: int = 0, drawn: str = "", loading: float = 0) -> Part:
    """Return a file read by this process, the time stopped first."""
    ended = time.perf_counter()
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB here
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return Part(rows, bad, drawn, began, ended, loading, os.getpid(), peak)


def check(rows: int, done: dict[tuple[str, int], list[Whole]]) -> None:
    """End with the difference where a way did not do what the others did."""
    for (way, processes), wholes in done.items():
        for whole in wholes:
            if whole.rows != rows or whole.bad:
                told = f"{whole.rows} rows, {whole.bad} of them set aside"
                sys.exit(f"{way}, {processes} processes: {told}; there are {rows} good ones")
            if way != "orjson" and whole.drawn != done["ours", 1][0].drawn:
                sys.exit(f"{way}, {processes} processes: other samples are drawn")


def show_rows(rows: int, size: int, done: dict[tuple[str, int], list[Whole]]) -> None:
    """Print what all ways took."""
    seconds = {key: [whole.seconds for whole in wholes] for key, wholes in done.items()}
    loads = [whole.loading for whole in done["orjson", 1]]
    best = {key: min(values) for key, values in seconds.items()}
    one, all_ = best["ours", 1], best["ours", CORES]
    used = [whole.peaks for n in (1, CORES) for whole in done["ours", n]]
    show_head(
        *("rows", "GB", "orjson.loads (s)", "with reading (s)", f"with reading, {CORES} cores (s)"),
        *("ours (s)", f"ours, {CORES} cores (s)"),
        *("ours / loads", f"ours, {CORES} cores / loads", f"both {CORES} cores"),
        *("datasets (s)", f"datasets, {CORES} cores (s)"),
        *("times faster", f"times faster, {CORES} cores", "peak (MB)", "peaks of all (MB)"),
    )
    show(
        CORES,
        *(str(rows), f"{size / 1e9:.2f}", spread(loads)),
        *(spread(seconds["orjson", n]) for n in (1, CORES)),
        *(spread(seconds["ours", n]) for n in (1, CORES)),
        *(f"{one / min(loads):.2f}", f"{all_ / min(loads):.2f}"),
        f"{all_ / best['orjson', CORES]:.2f}",
        *(spread(seconds["datasets", n]) for n in (1, CORES)),
        *(f"{best['datasets', n] / best['ours', n]:.1f}" for n in (1, CORES)),
        *(f"{max(max(peaks) for peaks in used):.0f}", f"{max(sum(peaks) for peaks in used):.0f}"),
    )


def spread(values: Sequence[float]) -> str:
    """Return the best and the worst."""
    return f"{min(values):.2f} to {max(values):.2f}"


# --- Images --------------------------------------------------------------------------------------

SIZES = (224, 512, 1024)
LARGE = 512
DISTINCT = 12
IN_A_STEP = 8  # pictures a core
AT_A_TIME = 0.7  # seconds that the pictures of a measurement take to decode

Task = Callable[[bytes], object]


def measure_images(repeats: int) -> None:
    """Print the rates for each kind of picture, and over as many of each kind."""
    from matcg.images import decode, fingerprint, pixel_digest

    tasks: list[Task] = [
        decoded,
        lambda data: fingerprint(data, ""),
        lambda data: pixel_digest(decode(data, "")),
    ]
    show_head("picture", "decoding (1/s)", "fingerprint (1/s)", "share (%)", "SHA-256 (1/s)")
    large = []
    for size in SIZES:
        of_size = []
        for mode, kind in product(("L", "RGB"), ("JPEG", "PNG")):
            of_size.append(rounds(tasks, scans(size, mode, kind), repeats))
            show_rates(f"{size} {mode} {kind}", of_size[-1:])
        show_rates(f"all of {size}", of_size)
        large += of_size if size >= LARGE else []
    show_rates(f"all from {LARGE} on", large)


def decoded(data: bytes) -> None:
    """Decode a picture and do nothing with it."""
    from PIL import Image

    Image.open(io.BytesIO(data)).load()


def scans(size: int, mode: str, kind: str) -> list[bytes]:
    """Return files of one kind, a few of them distinct, as many as can be measured well."""
    chance = np.random.default_rng(size)
    files = [scan(chance, size, mode, kind) for _ in range(DISTINCT)]
    repeats = AT_A_TIME / min(in_threads(decoded, files) for _ in range(3))
    return files * max(1, round(repeats))


def scan(chance: np.random.Generator, size: int, mode: str, kind: str) -> bytes:
    """Return a picture that is smooth but for noise of a few grey levels, as scans are."""
    from PIL import Image

    bands = []
    for _ in mode:
        coarse = Image.fromarray(chance.integers(20, 236, (7, 7), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=float)
        noisy = smooth + chance.normal(0, 3, smooth.shape)
        bands.append(Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)))
    file = io.BytesIO()
    Image.merge(mode, bands).save(file, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return file.getvalue()


def rounds(tasks: Sequence[Task], pictures: Sequence[bytes], repeats: int) -> list[float]:
    """Return the best seconds a picture of each task; they take turns, in reverse the next time."""
    taken: list[list[float]] = [[] for _ in tasks]
    places = list(range(len(tasks)))
    for turn in range(repeats):
        for place in places[:: -1 if turn % 2 else 1]:
            taken[place].append(in_threads(tasks[place], pictures))
    return [min(each) / len(pictures) for each in taken]


def in_threads(task: Task, pictures: Sequence[bytes]) -> float:
    """Return the seconds that all cores take, some pictures at a time."""
    step = IN_A_STEP * CORES
    with ThreadPoolExecutor(CORES) as pool:
        began = time.perf_counter()
        for start in range(0, len(pictures), step):
            list(pool.map(task, pictures[start : start + step]))
        return time.perf_counter() - began


def show_rates(what: str, kinds: Sequence[Sequence[float]]) -> None:
    """Print rates of decoding, fingerprint and digest, given the seconds of each kind's picture."""
    plain, hashed, digested = (len(kinds) / sum(each) for each in zip(*kinds, strict=True))
    share = f"{100 * hashed / plain:.0f}"
    show(CORES, what, f"{plain:.0f}", f"{hashed:.0f}", share, f"{digested:.0f}")


# --- Pairs ---------------------------------------------------------------------------------------

SQUARES = (12_500, 25_000, 50_000, 100_000)
PLANTED = 0.01
DISTANCE = 24
ALIKE = 0.2  # share of bits in which alike hashes differ from what they have in common


def measure_pairs() -> None:
    """Print the seconds of each size of square, with random and with alike hashes."""
    show_head(
        *("test x training", "billion pairs", "planted", "random (s)", "ns a pair"),
        *("alike (s)", "ns a pair"),
    )
    for n in SQUARES:
        seconds = [search(n, share) for share in (0.5, ALIKE)]
        times = [cell for each in seconds for cell in (f"{each:.1f}", f"{1e9 * each / n**2:.2f}")]
        show(1, f"{n} x {n}", f"{n**2 / 1e9:.2f}", f"{round(n * PLANTED)}", *times)


def search(n: int, share: float) -> float:
    """Return the seconds of a search that finds exactly what was planted.

    `share` is that of bits in which hashes differ from a common pattern: at 0.5 they are random.
    """
    from matcg.data.near_duplicates import near_pairs
    from matcg.images import BITS

    chance = np.random.default_rng(n)
    common = chance.random(BITS) < 0.5
    tests, trained = (common ^ (chance.random((n, BITS), dtype=np.float32) < share) for _ in "ab")
    places = [chance.choice(n, round(n * PLANTED), replace=False).tolist() for _ in "ab"]
    planted = {(i, j, int(chance.integers(DISTANCE + 1))) for i, j in zip(*places, strict=True)}
    for i, j, bits in planted:
        tests[i] = trained[j]
        tests[i, chance.choice(BITS, bits, replace=False)] ^= True
    one, other = (np.packbits(side, axis=1).view(np.uint64) for side in (tests, trained))
    began = time.perf_counter()
    pairs = list(near_pairs(one, other, DISTANCE))
    seconds = time.perf_counter() - began
    if set(pairs) != planted or len(pairs) != len(planted):
        sys.exit(f"{n} x {n}: {len(pairs)} pairs found, {len(planted)} planted")
    return seconds


if __name__ == "__main__":
    main()
