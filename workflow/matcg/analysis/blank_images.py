"""Accuracy of the same runs with the question's picture, a grey one and another question's."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from matcg.analysis.pairs import Array, Setting, Study, Target, arm_order, by_target
from matcg.analysis.protocols import AskedRuns, by_measure, difference_name, mean_of, place_of
from matcg.analysis.statistics import Estimate
from matcg.config.arm import CG
from matcg.forms import ACCURACY
from matcg.plan.records import Row
from matcg.words import in_percent

# Where pictures are not the question's own; what is compared is `shown`.
HIDDEN = ("blank", "shuffled")


@dataclass(frozen=True, slots=True)
class Looking:
    """An arm's accuracy, or CG's difference from its reference, by the picture that is shown.

    Where `score` is not accuracy, its mean stands there.
    `minus_blank` and `minus_shuffled` are what is lost without the question's own.
    """

    setting: Setting
    arm: str
    chance: float | None
    shown: Estimate | None
    blank: Estimate | None = None
    shuffled: Estimate | None = None
    minus_blank: Estimate | None = None
    minus_shuffled: Estimate | None = None
    score: str = ACCURACY


_Scores = Mapping[Target, Array]
# Per-question scores of evaluations in a study.
_Score = Callable[[Study, Row], Array | None]


@dataclass(frozen=True, slots=True)
class Views:
    """The main protocol and, by what is shown, those that differ from it by the picture alone."""

    main: AskedRuns
    hidden: Mapping[str, AskedRuns]


def _views(ways: Sequence[AskedRuns]) -> Views:
    main = ways[0]
    only = {"name", "description", "image", *([] if main.protocol.shots else ["seed"])}
    rest = main.protocol.canonical(only)
    found = {way.protocol.image: way for way in ways if way.protocol.canonical(only) == rest}
    return Views(main, {name: found[name] for name in HIDDEN if name in found})


def shuffled(ways: Sequence[AskedRuns]) -> Study | None:
    """Return the study of the same runs that were shown other questions' pictures, if they were."""
    found = _views(ways).hidden.get("shuffled") if ways else None
    return found.study if found else None


def looking(ways: Sequence[AskedRuns]) -> list[Looking]:
    """Return one record a main score, setting and arm, and one of CG minus its reference.

    Differences are taken question by question over the runs that were asked both ways. There are
    none where the main protocol shows no pictures, or no protocol differs from it by them alone.
    """
    parts = by_measure(ways).items()
    return [replace(each, score=score) for score, part in parts for each in _by_setting(part)]


def _by_setting(ways: Sequence[AskedRuns]) -> list[Looking]:
    views = _views(ways)
    if views.main.protocol.image != "shown" or not views.hidden:
        return []
    study = views.main.study
    arms = sorted({row.arm for row in study.rows}, key=arm_order)
    found: list[Looking | None] = []
    for setting in study.settings():
        found += [_looking(views, setting, arm, arm, lambda s, r: s.score(r)) for arm in arms]

        def against(of: Study, row: Row, setting: Setting = setting) -> Array | None:
            return of.minus_reference(row, setting)

        of_both = _looking(views, setting, CG, difference_name(study), against)
        # Chance is the same for both arms, and no part of their difference.
        found += [of_both and replace(of_both, chance=None)]
    return [each for each in found if each]


def _looking(views: Views, setting: Setting, arm: str, name: str, score: _Score) -> Looking | None:
    """Return the record of an arm's scores, None where there are none."""
    study = views.main.study
    shown = by_target(study.arm(setting, arm), lambda row: score(study, row))
    if not shown:
        return None
    means: dict[str, _Scores] = {"shown": shown}
    for image, way in views.hidden.items():
        pairs = _paired(views.main, way, setting, arm, score)
        if pairs:
            apart = {target: each - pairs[1][target] for target, each in pairs[0].items()}
            means |= {image: pairs[1], f"minus_{image}": apart}
    estimates: dict[str, Any] = {
        image: mean_of(study, setting, each, arm) for image, each in means.items()
    }
    return Looking(setting, name, study.chance(study.arm(setting, arm)), **estimates)


def _paired(
    main: AskedRuns, way: AskedRuns, setting: Setting, arm: str, score: _Score
) -> tuple[_Scores, _Scores] | None:
    """Return by target the scores of the runs that have answers both ways, None without any."""
    both = main.by_place.keys() & way.by_place.keys()
    parts = []
    for study in (main.study, way.study):
        rows = [row for row in study.arm(setting, arm) if place_of(row) in both]
        parts.append(by_target(rows, partial(score, study)))
    shared = parts[0].keys() & parts[1].keys()
    kept = [{target: each for target, each in part.items() if target in shared} for part in parts]
    return (kept[0], kept[1]) if shared else None


def sentences(found: Iterable[Looking]) -> list[str]:
    """Return what the records say, a sentence or two a setting."""
    settings: dict[tuple[str, Setting], list[Looking]] = defaultdict(list)
    for each in found:
        settings[each.score, each.setting].append(each)
    several = len({setting for _, setting in settings}) > 1
    return [_named(*key, several) + _sentence(mine) for key, mine in settings.items()]


def _named(score: str, setting: Setting, several: bool) -> str:
    parts = [score] if score != ACCURACY else []
    parts += [setting.backbone, f"{setting.n_train} samples"] if several else []
    return f"{', '.join(parts)}: " if parts else ""


def _sentence(found: Sequence[Looking]) -> str:
    first, last = found[0], found[-1]
    name = "CG" if first.arm == CG else first.arm
    text = f"Of {name}'s {_percent(first.shown)} %, {_remains(first, ' %')}"
    text += f"; chance is {in_percent(first.chance or 0)} %." if first.score == ACCURACY else "."
    if last.arm != first.arm and " minus " in last.arm:
        other = last.arm.partition(" minus ")[2]
        text += f" Of the {_percent(last.shown)} points between CG and {other},"
        text += f" {_remains(last, '')}."
    return text


def _remains(found: Looking, unit: str) -> str:
    values = {"with a grey picture": found.blank, "with another question's picture": found.shuffled}
    known = [(words, value) for words, value in values.items() if value]
    verbs = [" remain", *[""] * len(known)]
    parts = [
        f"{_percent(value)}{unit}{verb} {words}"
        for (words, value), verb in zip(known, verbs, strict=False)
    ]
    return " and ".join(parts)


def _percent(estimate: Estimate | None) -> str:
    assert estimate, "what is said has been measured"
    return in_percent(estimate.value)
