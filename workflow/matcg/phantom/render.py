"""Modalities: what a scanner makes of a body and a lesion in it.

X-ray projects attenuation along the beam, CT shows a windowed section of it, MRI weights a section
by relaxation times under an uneven field, ultrasound shows speckle in a sector. Numbers are
of a physical order of magnitude, no more: they make the four look as different as they do.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from matcg.phantom.anatomy import place
from matcg.phantom.arithmetic import (
    Floats,
    Seeds,
    between,
    blur,
    clip,
    decay,
    noise,
    rotation,
    texture,
    uniform,
)
from matcg.phantom.geometry import grid
from matcg.phantom.lesions import Lesions, masks
from matcg.phantom.strength import SIZE, STRENGTH

# Optical depth per unit of length in a projection.
ABSORPTION = {
    "air": 0.0, "lung": 0.15, "fat": 0.55, "muscle": 0.8, "skin": 0.8, "gland": 1.1, "blood": 0.9,
    "grey": 0.75, "white": 0.75, "fluid": 0.65, "cartilage": 0.8, "marrow": 1.2, "bone": 2.0,
}  # fmt: skip

# Soft beams for soft tissue.
HARDNESS = {"Brain": 0.9, "Lung": 1.0, "Breast": 2.0, "Knee": 1.0}

# Hounsfield units in a section; bone as partial volume in thick sections.
HOUNSFIELD = {
    "air": -1000.0, "lung": -780.0, "fat": -100.0, "muscle": 50.0, "skin": 60.0, "gland": 45.0,
    "blood": 60.0, "grey": 40.0, "white": 28.0, "fluid": 6.0, "cartilage": 90.0, "marrow": 180.0,
    "bone": 420.0,
}  # fmt: skip

# Level and width of the display window, in Hounsfield units.
WINDOW = {
    "Brain": (40.0, 90.0), "Lung": (0.0, 1800.0), "Breast": (20.0, 340.0), "Knee": (190.0, 800.0)
}  # fmt: skip

# Share of the window that contrast agent lifts a lesion to.
ENHANCED = 1.0

# Proton density, T1 and T2 in ms; fat and marrow as left by fat suppression.
RELAXATION = {
    "air": (0.0, 1000.0, 50.0), "lung": (0.15, 1200.0, 40.0), "fat": (0.45, 350.0, 60.0),
    "muscle": (0.85, 1000.0, 45.0), "skin": (0.7, 900.0, 40.0), "gland": (0.85, 1200.0, 75.0),
    "blood": (0.25, 1600.0, 120.0), "grey": (0.85, 1300.0, 95.0), "white": (0.70, 800.0, 75.0),
    "fluid": (1.0, 4000.0, 1500.0), "cartilage": (0.8, 1100.0, 45.0),
    "marrow": (0.6, 500.0, 60.0), "bone": (0.05, 500.0, 20.0), "lesion": (0.95, 1500.0, 220.0),
}  # fmt: skip
REPETITION, INVERSION, ECHO, GAIN = 9000.0, 2500.0, 80.0, 2.1

# Share of the sound that a tissue scatters back.
ECHO_SHARE = {
    "air": 0.10, "lung": 0.52, "fat": 0.45, "muscle": 0.60, "skin": 0.90, "gland": 0.75,
    "blood": 0.40, "grey": 0.55, "white": 0.72, "fluid": 0.30, "cartilage": 0.35, "marrow": 0.62,
    "bone": 0.95,
}  # fmt: skip


def render(modality: str, area: str, lesions: Lesions, seeds: Seeds) -> NDArray[np.uint8]:
    """Return grey pictures (n, SIZE, SIZE) of one modality and area, one for each seed (n,)."""
    mask = masks(lesions, area, seeds)
    jitter = STRENGTH.contrast_jitter
    strength = between(seeds, "lesion contrast", 1 - jitter, 1 + jitter)
    mask = mask * (strength * np.float32(STRENGTH.contrast[modality]))[:, None, None]
    picture = MODALITIES[modality](area, mask, seeds)
    return (clip(picture) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def xray(area: str, lesion: Floats, seeds: Seeds) -> Floats:
    """Return what a beam lost: 1 - exp(-depth), with scatter, heel effect and quantum noise."""
    depth = lesion
    for placed in place(area, seeds, projected=True):
        more = ABSORPTION[placed.part.tissue] - ABSORPTION[placed.part.under]
        depth = depth + placed.chord() * np.float32(more * HARDNESS[area])
    depth = clip(depth, 0, 8) * _grain(seeds)
    passed = blur(decay(depth))
    grains = noise(seeds, "quantum", SIZE) * np.sqrt(passed) * np.float32(STRENGTH.xray_noise)
    x, _ = grid()
    heel = between(seeds, "heel", -STRENGTH.xray_heel, STRENGTH.xray_heel)[:, None, None] * x
    exposure = between(seeds, "exposure", 0.92, 1.08)[:, None, None]
    lost: Floats = np.float32(1) - passed * (exposure + heel) - grains
    return lost * np.float32(1.1)


def ct(area: str, lesion: Floats, seeds: Seeds) -> Floats:
    """Return a windowed section with noise, rings of the detector and streaks."""
    level, width = WINDOW[area]
    table = {t: (hu - level) / width + 0.42 for t, hu in HOUNSFIELD.items()}
    # A lesion takes up contrast agent and replaces its tissue; the window leaves room above bone.
    shown = clip(_section(area, seeds, table), 0.0, 0.7) * _grain(seeds)
    shown = shown + (np.float32(ENHANCED) - shown) * lesion
    return shown + _rings(seeds) + noise(seeds, "counts", SIZE) * np.float32(STRENGTH.ct_noise)


def mri(area: str, lesion: Floats, seeds: Seeds) -> Floats:
    """Return an inversion-recovery image, bright in oedema, with bias field and Rician noise."""
    table = {t: _signal(*values) for t, values in RELAXATION.items()}
    signal = _section(area, seeds, table) * _grain(seeds)
    signal = signal + (np.float32(table["lesion"]) - signal) * lesion
    signal = signal * _bias(seeds)
    real = signal + noise(seeds, "real", SIZE) * np.float32(STRENGTH.mri_noise)
    imaginary = noise(seeds, "imaginary", SIZE) * np.float32(STRENGTH.mri_noise)
    magnitude: Floats = np.sqrt(real * real + imaginary * imaginary)
    return magnitude


def ultrasound(area: str, lesion: Floats, seeds: Seeds) -> Floats:
    """Return compressed echoes in a sector: speckle, bright interfaces, attenuation, shadow."""
    echo = _section(area, seeds, ECHO_SHARE) * _grain(seeds)
    rim = np.abs(echo[:, 1:] - echo[:, :-1])
    echo[:, 1:] += rim * np.float32(0.5)
    echo = echo * (np.float32(1) - lesion)
    first, second = (blur(noise(seeds, name, SIZE)) for name in ("in phase", "quadrature"))
    # Smoothing leaves 0.375 of the deviation; the envelope's mean becomes about 1.
    envelope = np.sqrt(first * first + second * second) * np.float32(2.1)
    speckle: Floats = (envelope - np.float32(1)) * np.float32(STRENGTH.us_speckle) + np.float32(1)
    inside, depth = _sector(seeds)
    attenuation: Floats = np.float32(1) - depth * np.float32(STRENGTH.us_attenuation)
    return echo * speckle * attenuation * _shadow(lesion) * inside * np.float32(STRENGTH.us_gain)


MODALITIES: Mapping[str, Callable[[str, Floats, Seeds], Floats]] = {
    "CT": ct,
    "MRI": mri,
    "X-ray": xray,
    "US": ultrasound,
}


def _section(area: str, seeds: Seeds, table: Mapping[str, float]) -> Floats:
    picture = np.full((len(seeds), SIZE, SIZE), table["air"], dtype=np.float32)
    for placed in place(area, seeds, projected=False):
        change = np.float32(table[placed.part.tissue]) - picture
        change *= placed.cover()
        picture += change
    return picture


def _grain(seeds: Seeds) -> Floats:
    patches = texture(seeds, "coarse", SIZE, 6) + texture(seeds, "fine", SIZE, 16)
    return np.float32(1) + patches * np.float32(STRENGTH.tissue)


def _rings(seeds: Seeds) -> Floats:
    """Return rings about the scanner's axis and parallel streaks across the picture."""
    x, y = grid()
    radius = (np.sqrt(x * x + y * y) * np.float32(SIZE / 2)).astype(np.int64)[0]
    offsets = uniform(seeds, "detector", SIZE).T - np.float32(0.5)
    rings: Floats = offsets[:, radius] * np.float32(2 * STRENGTH.ct_rings)
    cosine, sine = (v[:, None, None] for v in rotation(between(seeds, "streak", -1, 1)))
    position = (x * cosine + y * sine) * np.float32(7)
    wave: Floats = np.abs(position - np.floor(position) - np.float32(0.5)) * np.float32(
        4
    ) - np.float32(1)
    return rings + wave * np.float32(STRENGTH.ct_streaks)


def _signal(density: float, t1: float, t2: float) -> float:
    """Return the inversion-recovery spin-echo signal of a tissue."""
    recovered = 1 - 2 * _decay(INVERSION / t1) + _decay(REPETITION / t1)
    return GAIN * density * abs(recovered) * _decay(ECHO / t2)


def _decay(x: float) -> float:
    return float(decay(np.array([min(x, 8.0)], dtype=np.float32))[0])


def _bias(seeds: Seeds) -> Floats:
    x, y = grid()
    slopes = (uniform(seeds, "bias", 3) * np.float32(2) - np.float32(1))[:, :, None, None]
    field: Floats = slopes[0] * x + slopes[1] * y + slopes[2] * x * y
    return np.float32(1) + field * np.float32(STRENGTH.mri_bias)


def _sector(seeds: Seeds) -> tuple[Floats, Floats]:
    """Return the field of view (soft edges) and the depth in it, from 0 at the probe to 1."""
    x, y = grid()
    apex = between(seeds, "apex", -2.1, -1.8)[:, None, None]
    spread = between(seeds, "spread", 0.50, 0.58)[:, None, None]
    below = y - apex
    edge = (below * spread - np.abs(x)) * np.float32(SIZE / 2)
    radius = np.sqrt(x * x + below * below)
    near, far = np.float32(-0.96) - apex, np.float32(0.97) - apex
    arcs = np.minimum(radius - near, far - radius) * np.float32(SIZE / 2)
    return clip(np.minimum(edge, arcs)), clip((radius - near) / (far - near))


def _shadow(lesion: Floats) -> Floats:
    """Return the share of sound left below a lesion, which absorbs more than tissue does."""
    passed = np.zeros_like(lesion[:, 0])
    rows = []
    for y in range(SIZE):
        rows.append(np.float32(1) / (np.float32(1) + passed * np.float32(STRENGTH.us_shadow)))
        passed = passed + lesion[:, y]
    return np.stack(rows, axis=1)
