"""How strong everything in the phantom world is: the one place to make it easier or harder."""

from collections.abc import Mapping
from dataclasses import dataclass, field

SIZE = 48


def _contrast() -> Mapping[str, float]:
    return {"X-ray": 0.9, "CT": 0.85, "MRI": 0.85, "US": 0.8}


@dataclass(frozen=True, slots=True)
class Strength:
    """Constants of lesions and of nuisance variation.

    Lengths are in pixels where a name says so, else in units of half the picture's width.
    """

    # Lesions.
    radii: tuple[float, float, float] = (4.5, 7.0, 10.0)  # pixels, by level
    radius_jitter: float = 0.07  # relative; small enough that levels never meet
    aspect: float = 0.12  # largest relative stretch of one axis
    edge: float = 1.5  # pixels over which a lesion's rim fades
    midline_gap: float = 1.0  # pixels between the midline and a lesion
    half_offset: tuple[float, float] = (0.24, 0.38)  # from the middle, where the half tells
    # X-ray: added optical depth; CT and MRI: share of the lesion's own signal; ultrasound: share of
    # the echo that is lost.
    contrast: Mapping[str, float] = field(default_factory=_contrast)
    contrast_jitter: float = 0.12  # relative

    # Where tone tells: tissue lies between these greys, and things are so opaque on it.
    ground: tuple[float, float] = (0.28, 0.72)
    opacity: float = 0.85
    mark: float = 0.9  # grey of a mark

    # Anatomy.
    scale: float = 0.06  # relative size of the body
    shift: float = 0.05  # place of the body
    turn: float = 0.05  # half tangent of the body's angle: 0.05 is 5.7 degrees
    part_shift: float = 0.03  # place of one organ
    part_stretch: float = 0.10  # relative size of one organ
    part_turn: float = 0.06  # half tangent of one organ's angle
    tissue: float = 0.08  # relative variation inside tissue

    # Acquisition.
    xray_noise: float = 0.035
    xray_heel: float = 0.08
    ct_noise: float = 0.03
    ct_rings: float = 0.02
    ct_streaks: float = 0.02
    mri_noise: float = 0.045
    mri_bias: float = 0.22
    us_gain: float = 0.85
    us_speckle: float = 0.45
    us_attenuation: float = 0.35
    us_shadow: float = 0.05


STRENGTH = Strength()
