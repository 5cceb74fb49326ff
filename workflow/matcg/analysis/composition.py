"""Composition gain: what each element adds when the others are there, and the verdict on it.

A combination is compared with its knock-outs, each without one element and as large. All elements
contributed where the smallest of these differences is above zero; its relatedness gain, over
unrelated data, stands beside it. Outside the verdict: is it better than more of its nearest part?
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from matcg.analysis import statistics
from matcg.analysis.comparison import Comparison
from matcg.analysis.pairs import Setting, Study, Target, by_target
from matcg.analysis.reduced import KNOCK_OUT, PART, Case, cases_of, differences
from matcg.analysis.share_of_the_way import Share, share_of, share_of_the_way
from matcg.analysis.statistics import ALPHA, Estimate
from matcg.analysis.studentised import Studentised, over_targets, smallest, studentised
from matcg.analysis.summary import Summary
from matcg.cells import P
from matcg.config.arm import CG, CONTROL
from matcg.forms import ACCURACY
from matcg.plan.records import Reduced
from matcg.words import counted

COMPOSED, RELATED, NOTHING, HARM = "composed", "related only", "nothing shown", "harm"
NOT_TESTABLE, MISSING = "not testable", "not all answered"
CLAIM = ALPHA / 2  # a one-sided p below this is a claim
SEEN = "perhaps seen before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """Both gains of a combination, or over targets where `target` is empty.

    Over targets it is of a rule, or of all where `rule` is empty. `gains` are CG minus each
    knock-out, `composition` the smallest of these, without `least`. `untested` elements were not
    taken out although they are shared. `minus_part` is CG minus `best_part`, the part that does
    best. `note` says where something else stands for a source. `share` is that of the way from
    control to ceiling, `lost` the share of the relatedness gain that is lost with each part.
    """

    setting: Setting
    target: str
    rule: str
    combination: str
    targets: int
    not_testable: int
    relatedness: Estimate | None
    composition: Estimate | None = None
    least: str = ""
    gains: Mapping[str, Estimate | None]
    p: P | None = None
    p_holm: P | None = None
    minus_part: Estimate | None = None
    best_part: str = ""
    verdict: str = ""
    untested: str = ""
    note: str = ""
    share: Estimate | None = None
    share_targets: int | None = None
    lost: Mapping[str, Estimate | None] = field(default_factory=dict)
    score: str = ACCURACY

    @property
    def said(self) -> str:
        """Return the verdict in words, with what more of a part does."""
        if self.verdict != COMPOSED or self.minus_part is None:
            return self.verdict
        if self.minus_part.low > 0:
            return "composed, and better than more of its nearest part"
        return "composed, but more of one part does as well, as far as is shown"


def column(element: str) -> str:
    """Return the name of the cell of CG minus the knock-out of an element."""
    return f"without_{element}"


def lost_column(element: str) -> str:
    """Return the name of the cell of what is lost with the part that lacks an element."""
    return f"lost_without_{element}"


def compositions(
    study: Study,
    reduced: Sequence[Reduced],
    compared: Sequence[Comparison],
    summary: Sequence[Summary],
    seen: Collection[tuple[str, Target]] = (),
) -> list[Composition]:
    """Return one record a setting and combination, and before them those over targets.

    None where nothing was to be knocked out. Relatedness is that of `compared` and of `summary`.
    `seen` are backbones and targets that are marked as perhaps seen before.
    """
    if not any(each.kind != PART for each in reduced):
        return []
    cases = cases_of(study, reduced)
    related = _relatedness(study, compared)
    singles = [_of_combination(case, related.get(case.key), seen) for case in cases]
    singles = _with_verdicts(singles, lambda each: (each.setting, each.target))
    over = _over_targets(study, cases, summary, seen)
    return [
        *_with_verdicts(over, lambda each: (each.setting, each.score, bool(each.rule))),
        *singles,
    ]


def _relatedness(
    study: Study, compared: Sequence[Comparison]
) -> dict[tuple[Setting, str, str, str], Estimate]:
    """Return each combination's difference from the control; a baseline says nothing of data."""
    return {
        (each.setting, each.target, each.rule, each.combination): each.over_runs or each.difference
        for each in compared
        if each.difference and study.reference == CONTROL
    }


def _of_combination(
    case: Case, relatedness: Estimate | None, seen: Collection[tuple[str, Target]]
) -> Composition:
    clusters = case.clusters
    against = {
        kind: {e: studentised(case.cg, other, clusters) for e, other in case.without(kind).items()}
        for kind in (KNOCK_OUT, PART)
    }
    notes = [SEEN] if (case.setting.backbone, case.target) in seen else []
    notes += [f"{each.arm}: {each.note}" for each in case.reduced if each.note]
    repeated = [element for element in case.planned if case.repeats(KNOCK_OUT, element)]
    notes += [f"repeated without {' and without '.join(repeated)}"] if repeated else []
    found = Composition(
        setting=case.setting,
        target=case.target[1],
        rule=case.rows[0].rule,
        combination=case.rows[0].combination,
        targets=int(bool(case.planned)),
        not_testable=int(not case.planned),
        relatedness=relatedness,
        gains=_gains(against[KNOCK_OUT]),
        verdict="" if case.planned else NOT_TESTABLE,
        untested=" ".join(case.untested),
        note="; ".join(notes),
        score=case.study.answers[case.rows[0].key].measure,
    )
    if len(against[KNOCK_OUT]) < len(case.planned):
        return replace(found, verdict=MISSING)
    # Of a few questions t would be too sure: no p is below that of as many coins that fall alike.
    least = max((0.5 ** _differing(case, e) for e in against[KNOCK_OUT]), default=1.0)
    return _with_smallest(found, [case], against[KNOCK_OUT], against[PART], least)


def _differing(case: Case, element: str) -> int:
    other = case.without(KNOCK_OUT)[element]
    return sum(statistics.discordant(case.cg.mean(axis=0) - other.mean(axis=0), case.clusters))


def _gains(against: Mapping[str, Studentised]) -> dict[str, Estimate | None]:
    return {column(element): _possible(each.estimate) for element, each in against.items()}


def _with_smallest(
    found: Composition,
    cases: Sequence[Case],
    knock_outs: Mapping[str, Studentised],
    parts: Mapping[str, Studentised],
    least_p: float = 0.0,
) -> Composition:
    """Return the record with the smallest differences from knock-outs and from parts."""
    if knock_outs:
        of_all, p = _smallest(knock_outs)
        name = min(knock_outs, key=lambda element: float(knock_outs[element].value))
        found = replace(found, composition=of_all, least=name, p=max(p, least_p))
    if parts:
        of_all, _ = _smallest(parts)
        name = min(parts, key=lambda element: float(parts[element].value))
        repeated = any(case.repeats(PART, name) for case in cases)
        name = f"without {name}" + ", repeated" * repeated
        found = replace(found, minus_part=of_all, best_part=name)
    return found


def _smallest(means: Mapping[str, Studentised]) -> tuple[Estimate, float]:
    found = smallest(list(means.values()))
    limits = Estimate(float(found.value), float(found.low), float(found.high))
    return _possible(limits), float(found.p)


def _possible(found: Estimate) -> Estimate:
    """Return an interval within what differences can be: t of two targets knows no bound."""
    return Estimate(found.value, max(found.low, -1.0), min(found.high, 1.0))


def _over_targets(
    study: Study,
    cases: Sequence[Case],
    summary: Sequence[Summary],
    seen: Collection[tuple[str, Target]],
) -> list[Composition]:
    """Return a record a setting, score and rule, and one of all rules where there are several."""
    related = {(s.setting, s.score, s.rule): s for s in summary if s.arm == CG}
    groups: dict[tuple[Setting, str, str], list[Case]] = defaultdict(list)
    for case in cases:
        score = study.answers[case.rows[0].key].measure
        for rule in ("", case.rows[0].rule):
            groups[case.setting, score, rule].append(case)
    rules = defaultdict(set)
    for setting, score, rule in groups:
        rules[setting, score].add(rule)
    several = {key for key, found in rules.items() if len(found) > 2}
    return [
        # Of one rule the interval is that of all, which the headline says.
        _over(study, key, mine, related.get(key if key[:2] in several else (*key[:2], "")), seen)
        for key, mine in groups.items()
        if key[2] or key[:2] in several
    ]


def _over(
    study: Study,
    key: tuple[Setting, str, str],
    cases: Sequence[Case],
    summary: Summary | None,
    seen: Collection[tuple[str, Target]],
) -> Composition:
    tested = [case for case in cases if case.planned]
    targets, all_targets = {case.target for case in tested}, {case.target for case in cases}
    knock_outs, parts = (
        {
            e: over_targets(list(scores.values()), [study.clusters(t) for t in scores])
            for e, scores in differences(tested, kind).items()
        }
        for kind in (KNOCK_OUT, PART)
    )
    rows = [row for case in cases for row in case.rows]
    share = share_of_the_way(study, key[0], rows)
    found = Composition(
        setting=key[0],
        target="",
        rule=key[2],
        combination="",
        targets=len(targets),
        not_testable=len(all_targets - targets),
        relatedness=summary.minus_reference if summary and study.reference == CONTROL else None,
        gains=_gains(knock_outs),
        verdict="" if tested else NOT_TESTABLE,
        untested=" ".join(dict.fromkeys(e for case in tested for e in case.untested)),
        note="; ".join(_notes(tested, share, {t for t in targets if (key[0][0], t) in seen})),
        share=share.estimate,
        share_targets=share.targets,
        lost=_lost(study, tested, key[0]),
        score=key[1],
    )
    return _with_smallest(found, tested, knock_outs, parts)


def _lost(study: Study, cases: Sequence[Case], setting: Setting) -> dict[str, Estimate | None]:
    """Return which share of the gain over the control is lost with each part, over targets."""
    rows = [row for case in cases for row in case.rows]
    related = by_target(rows, lambda row: study.minus_reference(row, setting))
    if study.reference != CONTROL:
        return {}
    return {
        lost_column(element): share_of(study, gains, related).estimate
        for element, gains in differences(cases, PART).items()
    }


def _notes(cases: Sequence[Case], share: Share, seen: Collection[Target]) -> Iterator[str]:
    """Yield what is to be known of a record over targets."""
    if len({case.target for case in cases}) == 1:
        yield "about these runs on one target, not about targets"
    filled = {case.target for case in cases if any(each.note for each in case.reduced)}
    if filled:
        yield f"something else stands for a source in {counted(len(filled), 'target')}"
    if seen:
        yield f"{counted(len(seen), 'target')} {SEEN}"
    if share.left_out:
        yield f"{counted(share.left_out, 'target')} without room below the ceiling"


def _with_verdicts(
    found: Sequence[Composition], family: Callable[[Composition], object]
) -> list[Composition]:
    """Return the records with p corrected within their families (Holm), and their verdicts."""
    families: dict[object, list[int]] = defaultdict(list)
    for place, each in enumerate(found):
        if each.p is not None:
            families[family(each)].append(place)
    p_holm: dict[int, float] = {}
    for places in families.values():
        ps = [found[place].p or 0.0 for place in places]
        p_holm |= dict(zip(places, statistics.holm(ps), strict=True))
    named = [replace(each, p_holm=p_holm.get(place)) for place, each in enumerate(found)]
    return [replace(each, verdict=each.verdict or verdict(each)) for each in named]


def verdict(found: Composition) -> str:
    """Return composed, related only, nothing shown or harm.

    Harm is a relatedness gain whose interval lies below zero, whatever the knock-outs say.
    """
    related = found.relatedness
    if related is not None and related.high < 0:
        return HARM
    if found.p_holm is not None and found.p_holm < CLAIM:
        return COMPOSED
    return RELATED if related is not None and related.low > 0 else NOTHING
