"""The figure of both gains."""

from dataclasses import replace

from matcg.analysis.composition import Composition
from matcg.analysis.pairs import Setting
from matcg.report.figures.composition import GAIN, RELATED, composition_figure
from synthetic import about, blank

ROW = replace(
    blank(Composition, relatedness=about(0.4, 0.1), composition=about(-0.01, 0.05)),
    setting=Setting("tiny", "full", 480, 0),
    target="",
    rule="fixed-task",
    targets=12,
    verdict="related only",
    gains={"without_modality": about(0.07, 0.06), "without_area": about(-0.01, 0.05)},
    minus_part=about(-0.03, 0.04),
    best_part="without area",
)


def test_every_difference_has_a_line_and_the_title_the_verdict() -> None:
    figure = composition_figure([ROW, replace(ROW, target="ct-brain-side")])
    assert figure is not None
    (axis,) = figure.axes
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == [
        "CG minus as much of its part without area",
        GAIN,
        "CG minus CG without area",
        "CG minus CG without modality",
        RELATED,
    ]
    assert axis.get_title().endswith("fixed-task, 12 targets: related only")


def test_without_a_gain_over_targets_there_is_none() -> None:
    assert composition_figure([]) is None
    assert composition_figure([replace(ROW, composition=None)]) is None
