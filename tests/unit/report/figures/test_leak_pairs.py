"""The figure of leak examples: pictures side by side, bounded, the same bytes each time."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from data_makers import folder, sample
from matcg.data.leaks import Leak, write_leaks
from matcg.report.figures import leak_pairs
from matcg.report.figures.leak_pairs import draw_leak_pairs, leak_figure
from matcg.report.figures.style import STYLE
from matcg.tsv import write_tsv


def grey(level, edge=400):
    buffer = io.BytesIO()
    Image.new("RGB", (edge, edge), (level,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def leak(test, train, bits, dataset="a"):
    return Leak("tiny", "t", test, dataset, "s", train, "b", bits, bits == 0)


@pytest.fixture
def folders(tmp_path):
    """Prepare a target with two test pictures and a source with two training pictures."""
    tests = [sample(n, subset="t", sample_id=f"test{n}", image=grey(10 * n)) for n in (1, 2)]
    trained = [sample(n, subset="s", sample_id=f"train{n}", image=grey(10 * n)) for n in (3, 4)]
    t = folder(tmp_path / "tiny", "t", [sample(9, subset="t")], tests)
    return {("tiny", "t"): t, ("tiny", "s"): folder(tmp_path / "tiny", "s", trained)}


LEAKS = [leak("test1", "train3", 0), leak("test2", "train4", 7)]


def shown(figure):
    """Return the titles of the panels with pictures, and the level of grey in each."""
    panels = [axes for axes in figure.axes if axes.images]
    levels = [int(np.unique(axes.images[0].get_array()).item()) for axes in panels]
    return [axes.get_title(loc="left").split("\n") for axes in panels], levels


def test_each_test_picture_stands_beside_its_training_picture(folders):
    with mpl.rc_context(STYLE):
        titles, levels = shown(leak_figure(folders, LEAKS))
    assert levels == [10, 30, 20, 40]
    assert titles == [
        ["equal pixels", "test, t", "test1"],
        ["", "training, s", "train3"],
        ["7 of 256 bits differ", "test, t", "test2"],
        ["", "training, s", "train4"],
    ]


def test_pictures_are_small_whatever_the_photographs(folders):
    figure = leak_figure(folders, LEAKS)
    sizes = {axes.images[0].get_array().shape[:2] for axes in figure.axes if axes.images}
    assert sizes == {(leak_pairs.EDGE, leak_pairs.EDGE)}


def test_pairs_beyond_the_bound_are_said(folders, monkeypatch):
    monkeypatch.setattr(leak_pairs, "SHOWN", 1)
    figure = leak_figure(folders, LEAKS)
    assert sum(bool(axes.images) for axes in figure.axes) == 2
    assert (
        " ".join(figure.get_suptitle().split())
        == "1 further pairs are not drawn; leaks.tsv has them"
    )


@pytest.mark.parametrize("leaks", [[], LEAKS])
def test_the_files_are_the_same_each_time_and_there_without_leaks(folders, tmp_path, leaks):
    write_leaks(tmp_path / "leaks.tsv", leaks)
    rows = [(*subset, path) for subset, path in folders.items()]
    write_tsv(tmp_path / "subsets.tsv", ("catalog", "subset", "path"), rows)
    out = [tmp_path / name for name in ("one", "two")]
    for each in out:
        draw_leak_pairs(tmp_path / "leaks.tsv", tmp_path, each / "leaks.png")
    for ending in ("svg", "png"):
        first, second = ((each / f"leaks.{ending}").read_bytes() for each in out)
        assert first == second
        assert len(first) < 300_000


def test_without_leaks_the_figure_says_so():
    assert leak_figure({}, []).texts[0].get_text().startswith("no test image was found")
