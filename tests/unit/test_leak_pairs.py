"""The figure of leak examples: pictures side by side, bounded, the same bytes each time."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from data_makers import folder, sample
from matcg.data.leaks import Leak, write_leaks
from matcg.report import leak_pairs
from matcg.report.leak_pairs import draw, leak_figure
from matcg.report.style import STYLE


def grey(level, edge=400):
    buffer = io.BytesIO()
    Image.new("RGB", (edge, edge), (level,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def leak(test, train, bits, dataset="a"):
    return Leak("tiny", "t", test, dataset, "s", train, "b", bits, bits == 0)


@pytest.fixture
def data(tmp_path):
    """Prepare a target with two test pictures and a source with two training pictures."""
    tests = [sample(n, subset="t", sample_id=f"test{n}", image=grey(10 * n)) for n in (1, 2)]
    trained = [sample(n, subset="s", sample_id=f"train{n}", image=grey(10 * n)) for n in (3, 4)]
    folder(tmp_path / "tiny", "t", [sample(9, subset="t")], tests)
    folder(tmp_path / "tiny", "s", trained)
    return tmp_path


LEAKS = [leak("test1", "train3", 0), leak("test2", "train4", 7)]


def shown(figure):
    """Return the titles of the panels with pictures, and the level of grey in each."""
    panels = [axes for axes in figure.axes if axes.images]
    levels = [int(np.unique(axes.images[0].get_array()).item()) for axes in panels]
    return [axes.get_title(loc="left").split("\n") for axes in panels], levels


def test_each_test_picture_stands_beside_its_training_picture(data):
    with mpl.rc_context(STYLE):
        titles, levels = shown(leak_figure(data, LEAKS))
    assert levels == [10, 30, 20, 40]
    assert titles == [
        ["equal pixels", "test, t", "test1"],
        ["", "training, s", "train3"],
        ["7 of 256 bits differ", "test, t", "test2"],
        ["", "training, s", "train4"],
    ]


def test_pictures_are_small_whatever_the_photographs(data):
    figure = leak_figure(data, LEAKS)
    sizes = {axes.images[0].get_array().shape[:2] for axes in figure.axes if axes.images}
    assert sizes == {(leak_pairs.EDGE, leak_pairs.EDGE)}


def test_pairs_beyond_the_bound_are_said(data, monkeypatch):
    monkeypatch.setattr(leak_pairs, "SHOWN", 1)
    figure = leak_figure(data, LEAKS)
    assert sum(bool(axes.images) for axes in figure.axes) == 2
    assert (
        " ".join(figure.get_suptitle().split())
        == "1 further pairs are not drawn; leaks.tsv has them"
    )


@pytest.mark.parametrize("leaks", [[], LEAKS])
def test_the_files_are_the_same_each_time_and_there_without_leaks(data, leaks):
    write_leaks(data / "leaks.tsv", leaks)
    for name in ("one", "two"):
        draw(data, data / name / "leaks.png")
    for ending in ("svg", "png"):
        first, second = ((data / name / f"leaks.{ending}").read_bytes() for name in ("one", "two"))
        assert first == second
        assert len(first) < 300_000


def test_without_leaks_the_figure_says_so(data):
    assert leak_figure(data, []).texts[0].get_text().startswith("no test image was found")
