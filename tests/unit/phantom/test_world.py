"""The phantom world: full, reproducible to the byte, balanced, and visibly what its labels say.

After a deliberate change of the world, `python tests/unit/phantom/test_world.py` writes the golden
digests anew.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as run_lengths

from matcg.config.catalog import Catalog
from matcg.config.library import load
from matcg.errors import ConfigError
from matcg.images import decode, pixel_digest
from matcg.phantom import arithmetic
from matcg.phantom import contact_sheet as sheet
from matcg.phantom.lesions import KINDS, LESION, LEVELS, SIDES, Lesions, findings, masks
from matcg.phantom.render import MODALITIES, render
from matcg.phantom.strength import SIZE, STRENGTH
from matcg.phantom.world import BATCH, TASKS, generate
from matcg.samples import CHOICE, Sample

ROOT = Path(__file__).parents[3]
DIGESTS = ROOT / "tests" / "data" / "phantom-digests.json"
AREAS = ("Brain", "Lung", "Breast", "Knee")
CELLS = list(product(MODALITIES, AREAS))
CHOICES = {name: task for name, task in TASKS.items() if not task.healthy}
POINTED = TASKS.keys() - CHOICES.keys()

catalog: Catalog = load("catalog", ROOT / "catalogs" / "phantom.yaml")


def pixels(sample: Sample) -> str:
    """Return the digest of a sample's picture."""
    return pixel_digest(decode(sample.image, sample.origin))


def golden() -> dict[str, str]:
    """Return a short digest of a training sample of each subset, its question included."""
    found = {}
    for subset in catalog.subsets:
        (sample,) = list(generate(subset, {"seed": 0}, "train", 1))
        found[subset.id] = f"{pixels(sample)[:16]} {sample.answer} {sample.question}"
    return found


def expected() -> dict[str, str]:
    return json.loads(DIGESTS.read_text(encoding="utf-8"))


def samples(name: str, n: int, split: str = "test", seed: int = 0) -> list[Sample]:
    return list(generate(catalog.subset(name), {"seed": seed}, split, n))


def seeds(n: int) -> np.ndarray:
    return np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def lesions(n: int, present: int = 1, kind: int = 0, level: int = 1, side: int = 0) -> Lesions:
    return Lesions(*(np.full(n, value, dtype=np.int64) for value in (present, kind, level, side)))


def test_catalog_is_a_full_factorial_of_what_the_world_knows() -> None:
    triplets = [tuple(s.elements[e][0] for e in catalog.elements) for s in catalog.subsets]
    assert sorted(triplets) == sorted(product(MODALITIES, AREAS, TASKS))
    for subset, (modality, area, task) in zip(catalog.subsets, triplets, strict=True):
        assert subset.id == f"{modality.replace('-', '')}-{area}-{task}".lower()


def test_tasks_share_no_label_word_and_questions_give_nothing_away() -> None:
    words = {
        name: {w for label in task.labels for w in label.split()} for name, task in CHOICES.items()
    }
    for first, second in combinations(CHOICES, 2):
        assert not words[first] & words[second]
    labels = set().union(*words.values())
    for task in TASKS.values():
        assert len(set(task.questions)) == 6
        for question in task.questions:
            assert not [label for label in labels if label in question.lower()]


def test_digests_are_those_of_every_other_machine() -> None:
    known, found = expected(), golden()
    changed = [name for name in found if found[name] != known.get(name)]
    assert found == known, f"{changed} changed; on purpose? python tests/unit/phantom/test_world.py"


def test_vector_instructions_change_no_bit() -> None:
    code = "import numpy, test_world; print(test_world.golden() == test_world.expected())"
    features = np._core._multiarray_umath.__cpu_dispatch__  # type: ignore[attr-defined]
    places = [str(Path(__file__).parent), str(ROOT / "workflow")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={
            **os.environ,
            "NPY_DISABLE_CPU_FEATURES": " ".join(features),
            "PYTHONPATH": os.pathsep.join(places),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "True"


def test_a_sample_does_not_depend_on_how_many_are_made() -> None:
    many = samples("us-knee-diseases", BATCH + 5)
    assert samples("us-knee-diseases", 3) == many[:3]
    assert samples("us-knee-diseases", BATCH + 1) == many[: BATCH + 1]


def test_splits_subsets_and_seeds_share_no_picture() -> None:
    digests = [
        {pixels(s) for s in samples(name, 40, split, seed)}
        for name in ("ct-brain-side", "ct-brain-level")
        for split in ("train", "test")
        for seed in (0, 1)
    ]
    assert len(set().union(*digests)) == 8 * 40


@pytest.mark.parametrize("task", CHOICES)
def test_labels_and_answer_positions_are_balanced_and_interleaved(task: str) -> None:
    k = len(TASKS[task].labels)
    found = samples(f"ct-knee-{task.lower()}", 144)
    assert set(Counter((s.label, s.answer) for s in found).values()) == {144 // k // k}
    assert len(Counter((s.label, s.answer) for s in found)) == k * k
    for start in range(0, 144, k):
        block = found[start : start + k]
        assert {s.label for s in block} == set(TASKS[task].labels)
        assert {s.answer for s in block} == set(range(k))
    assert len({s.question for s in found}) == 6


def test_samples_say_what_they_are() -> None:
    for index, sample in enumerate(samples("xray-lung-side", 20)):
        assert sample.options[sample.answer] == sample.label
        assert sorted(sample.options) == sorted(SIDES)
        assert sample.origin == f"phantom/xray-lung-side/test/{index:05d}.png"
        image = decode(sample.image, sample.origin)
        assert (image.mode, image.size) == ("RGB", (SIZE, SIZE))


@pytest.mark.parametrize("task", sorted(POINTED))
def test_a_fifth_of_the_pictures_in_which_something_is_to_be_found_are_healthy(task: str) -> None:
    found = samples(f"us-lung-{task.lower()}", 45)
    for start in range(0, 45, TASKS[task].healthy):
        labels = Counter(s.label for s in found[start : start + TASKS[task].healthy])
        assert labels == {LESION: TASKS[task].healthy - 1, "none": 1}
    for sample in found:
        assert [f.label for f in sample.findings] == [LESION] * (sample.label == LESION)
        assert (sample.size, sample.options) == ((SIZE, SIZE), (LESION,))
        assert sample.form != CHOICE
        for finding in sample.findings:
            mask = {"size": [SIZE, SIZE], "counts": finding.mask}
            x, y, width, height = run_lengths.toBbox(mask)
            assert finding.box == (x, y, x + width, y + height)


@given(seed=st.integers(0, 2**64 - 1), area=st.sampled_from(AREAS), kind=st.integers(0, 3))
def test_a_finding_is_where_the_mask_exceeds_half_of_its_peak(
    seed: int, area: str, kind: int
) -> None:
    """Its mask holds those pixels, its box touches them on all sides and leaves none out."""
    truth, drawn = lesions(2, kind=kind, level=seed % 3), np.array([seed, seed], dtype=np.uint64)
    truth = replace(truth, present=np.array([1, 0]))
    (finding,), nothing = findings(truth, area, drawn)
    assert nothing == ()
    soft = masks(truth, area, drawn)[0]
    hard = run_lengths.decode({"size": [SIZE, SIZE], "counts": finding.mask}).astype(bool)
    assert (hard == (soft > soft.max() / 2)).all()
    x1, y1, x2, y2 = map(int, finding.box)
    assert all(edge.any() for edge in (hard[y1], hard[y2 - 1], hard[:, x1], hard[:, x2 - 1]))
    assert hard[y1:y2, x1:x2].sum() == hard.sum()


@pytest.mark.parametrize(("modality", "area"), CELLS)
def test_a_lesion_shows(modality: str, area: str) -> None:
    """Where its mask lies the picture changes, by more than the noise; elsewhere it hardly does."""
    n = 16
    for kind, _ in enumerate(KINDS):
        truth = lesions(n, kind=kind)
        with_lesion = render(modality, area, truth, seeds(n)).astype(float)
        without = render(modality, area, replace(truth, present=truth.present * 0), seeds(n))
        inside = masks(truth, area, seeds(n)) > 0.5
        change = with_lesion - without
        seen = [abs(change[i][inside[i]].mean()) for i in range(n)]
        assert np.median(seen) > 35
        assert np.mean(np.array(seen) > 15) >= 0.9
        assert np.abs(change[~inside]).mean() < 6


@pytest.mark.parametrize("area", AREAS)
def test_sides_and_levels_are_where_and_as_large_as_they_say(area: str) -> None:
    n = 40
    half = SIZE // 2
    for kind, side in product(range(len(KINDS)), range(len(SIDES))):
        sizes = []
        for level, _ in enumerate(LEVELS):
            mask = masks(lesions(n, kind=kind, level=level, side=side), area, seeds(n))
            left, right = mask[:, :, :half].sum((1, 2)), mask[:, :, half:].sum((1, 2))
            this, other = (left, right) if SIDES[side] == "left" else (right, left)
            assert (this > 10 * other).all()
            sizes.append(mask.sum((1, 2)))
        assert (sizes[0] * 1.3 < sizes[1]).all()
        assert (sizes[1] * 1.2 < sizes[2]).all()


def test_jitter_never_makes_one_level_another() -> None:
    low, high = 1 - STRENGTH.radius_jitter, 1 + STRENGTH.radius_jitter
    small, middle, large = STRENGTH.radii
    assert small * high < middle * low
    assert middle * high < large * low


@pytest.mark.parametrize("area", AREAS)
def test_modalities_look_different(area: str) -> None:
    """The four modalities' grey-level histograms overlap little, the same modality's much more."""
    n = 48
    shares = {}
    for modality in MODALITIES:
        pictures = render(modality, area, lesions(n, present=0), seeds(n))
        halves = (pictures[: n // 2], pictures[n // 2 :])
        shares[modality] = [np.histogram(p, 16, (0, 256))[0] / p.size for p in halves]
    for first, second in combinations(shares.values(), 2):
        between_two = np.abs(first[0] - second[0]).sum()
        within = max(np.abs(a - b).sum() for a, b in (first, second))
        assert between_two > 2 * within


def test_pictures_of_a_subset_differ_in_anatomy() -> None:
    pictures = render("CT", "Knee", lesions(30, present=0), seeds(30)).astype(float)
    spread = pictures.std(axis=0)
    # Noise alone spreads grey levels by about 8.
    assert np.mean(spread > 20) > 0.2


def test_state_is_whether_there_is_a_lesion() -> None:
    """In MRI only lesions are bright, so brightness alone must tell the two labels apart."""
    bright = {"healthy": [], "abnormal": []}
    for sample in samples("mri-lung-state", 60):
        pixels = np.asarray(decode(sample.image, "").convert("L"))
        bright[sample.label].append(int((pixels > 140).sum()))
    assert max(bright["healthy"]) < min(bright["abnormal"])


def test_unknown_or_missing_element_values_are_refused() -> None:
    spec = catalog.subset("ct-brain-state")
    wrong = spec.model_copy(update={"elements": {**spec.elements, "area": ("Brian",)}})
    with pytest.raises(ConfigError, match=r"ct-brain-state.*no area 'Brian'.*'Brain'"):
        next(generate(wrong, {}, "train", 1))
    wrong = spec.model_copy(update={"kind": "detection"})
    with pytest.raises(ConfigError, match="kind detection does not fit task State"):
        next(generate(wrong, {}, "train", 1))
    wrong = spec.model_copy(update={"elements": {**spec.elements, "task": ("State", "Level")}})
    with pytest.raises(ConfigError, match="exactly one task"):
        next(generate(wrong, {}, "train", 1))


@pytest.mark.parametrize(
    ("options", "says"),
    [({"sed": 1}, "ct-brain-state.*sed: unknown.*'seed'"), ({"seed": "x"}, "seed: 'x'.*integer")],
)
def test_wrong_options_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        next(generate(catalog.subset("ct-brain-state"), options, "train", 1))


def test_decay_and_rotation_are_what_they_stand_for() -> None:
    x = np.linspace(0, 8, 100, dtype=np.float32)
    np.testing.assert_allclose(arithmetic.decay(x), np.exp(-x), rtol=2e-3)
    t = np.linspace(-1, 1, 50, dtype=np.float32)
    cosine, sine = arithmetic.rotation(t)
    np.testing.assert_allclose(np.arctan2(sine, cosine), 2 * np.arctan(t), atol=1e-6)


def test_noise_is_centred_with_unit_deviation_and_streams_are_independent() -> None:
    first, second = (arithmetic.noise(seeds(50), name, SIZE).ravel() for name in "ab")
    assert abs(first.mean()) < 0.02
    assert first.std() == pytest.approx(1, abs=0.02)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02


def test_sheet_shows_every_subset_of_a_catalog(tmp_path: Path) -> None:
    some = [s for s in catalog.subsets if s.id.startswith(("ct-brain", "us-knee"))]
    part = SimpleNamespace(name="part", options={"seed": 0}, subsets=some)
    out = tmp_path / "figures" / "world.png"
    sheet.draw_sheet(part, out)
    image = decode(out.read_bytes(), "world.png")
    assert image.width > 1000
    with pytest.raises(ConfigError, match="nothing to draw"):
        sheet.draw_sheet(SimpleNamespace(name="none", options={}, subsets=[]), out)


if __name__ == "__main__":
    DIGESTS.write_text(json.dumps(golden(), indent=1) + "\n", encoding="utf-8")
