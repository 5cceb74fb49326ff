"""The HTML report: complete, self-contained, and deaf to what hostile files put into it."""

import io
import json
import re
from html.parser import HTMLParser

import pyarrow.parquet as pq
import pytest
from PIL import Image

from matcg.data import audit
from matcg.data.leaks import Leak, write_leaks
from matcg.errors import DataError
from matcg.report import figures, grid, html
from matcg.report.leaks import view_leaks
from matcg.report.questions import ImageBudget
from matcg.report.tables import compare
from matcg.samples import read_samples, write_samples
from matcg.tsv import write_table
from synthetic import World, make, write_tsv

SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'
HOSTILE = '<script>alert("x")</script>'
SMALL = {"questions": 24, "targets": ("ct-brain-state", "mri-lung-side")}


def report(results, world, drawn=False, **options):
    make(results, world)
    out = results / "experiments/demo"
    compare(results / "plan/experiments.tsv", results / "predictions", "demo", out)
    if drawn:
        (out / "figures").mkdir()
        for name in figures.NAMES:
            (out / f"figures/{name}.svg").write_text(SVG)
        for target in world.targets:
            (out / f"figures/grid-{target}.svg").write_text(SVG)
    html.write(results, ["demo"], results / "report.html", **options)
    return (results / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects tags with attributes and the text outside of style and script."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.text, self._inside = [], [], ""
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, _):
        self._inside = ""

    def handle_data(self, data):
        if self._inside not in ("style", "script"):
            self.text.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    results = tmp_path_factory.mktemp("demo")
    source = report(results, World(**SMALL), drawn=True, config={"experiments": ["demo"]})
    return results, source, Page(source)


def test_headline_comes_first(demo):
    results, source, _ = demo
    headline = json.loads((results / "experiments/demo/headline.json").read_text())["headline"]
    assert headline in source
    assert source.index(headline) < source.index("<table")


def test_nothing_is_loaded_from_elsewhere(demo):
    _, source, page = demo
    for tag, attributes in page.tags:
        for name in ("src", "srcset", "data", "poster", "action"):
            value = attributes.get(name) or "data:"
            assert value.startswith("data:"), f"<{tag} {name}={value[:60]}>"
        assert not re.match(r"(https?:)?//", attributes.get("href") or "")
    assert "http://" not in source
    assert "https://" not in source
    assert "url(" not in source
    assert "@import" not in source


def test_all_figures_tables_and_data_are_in_it(demo):
    _, source, page = demo
    drawn = [image["alt"] for image in page.all("img") if image["alt"].startswith("demo: ")]
    grids = [f"grid-{target}" for target in SMALL["targets"]]
    assert drawn == [f"demo: {name}" for name in (*figures.NAMES, *grids)]
    for text in ("3 rows", "is not among the options", "2 of 3 not chosen", "Digest of the code"):
        assert text in source or text.replace("'", "&#39;") in source


def test_every_target_shows_questions_of_each_kind_with_all_arms(demo):
    _, source, page = demo
    kinds = [card["data-kind"] for card in page.all("article")]
    assert {"gain", "both"} <= set(kinds)
    assert all(kinds.count(kind) <= 2 * 2 for kind in set(kinds))
    card = source[source.index("<article") : source.index("</article>")]
    for arm in ("cg: fixed-task", "cg: fixed-modality", "control", "baseline", "floor", "ceiling"):
        assert f"<td>{arm}</td>" in card


def test_the_same_results_give_the_same_page(demo, tmp_path):
    results, source, _ = demo
    html.write(results, ["demo"], tmp_path / "again.html", config={"experiments": ["demo"]})
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == source


def test_hostile_labels_stay_text(tmp_path):
    world = World(**SMALL, options=(HOSTILE, "b", "c", "d"), question=f"{HOSTILE}?")
    report(tmp_path, world)
    row = dict.fromkeys(("catalog", "subset", "file", "row", "image"), HOSTILE)
    columns = ("catalog", "subset", "file", "row", "reason", "image")
    reason = '"><img src=x onerror=alert(1)>'
    write_tsv(tmp_path / "data/quarantine.tsv", columns, [{**row, "reason": reason}])
    (tmp_path / "plan/summary.md").write_text(f"# {HOSTILE}\n\n| {HOSTILE} |\n|---|\n| a |\n")
    html.write(tmp_path, ["demo"], tmp_path / "report.html", config={"name": HOSTILE})
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(source)
    assert len(page.all("script")) == 1
    assert HOSTILE not in source
    assert HOSTILE in "".join(page.text)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert all(image["src"].startswith("data:") for image in page.all("img"))


def test_long_quarantine_is_bounded_with_its_count_and_file(tmp_path, monkeypatch):
    monkeypatch.setattr(html, "ROWS", 2)
    source = report(tmp_path, World(**SMALL))
    assert "3 rows" in source
    assert "The first 2 rows; all are in data/quarantine.tsv." in source


def section(source):
    start = source.index("What was held out, what was learned from")
    return source[start : source.index("Every evaluation", start)]


def test_grids_stand_below_the_comparison_one_target_open(demo):
    _, source, _ = demo
    assert source.index("Every combination") < source.index("What was held out")
    part = section(source)
    titles = [f"<summary>{target}</summary>" for target in SMALL["targets"]]
    assert re.findall(r"<details.*?</summary>", part) == [
        f"<details open>{titles[0]}",
        f"<details>{titles[1]}",
    ]
    assert "left out" not in part


def test_first_grids_of_all_targets_come_before_further_ones_within_their_bound(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(grid, "PANELS", 1)
    uri = len("data:image/svg+xml;base64,") + 4 * -(-len(SVG) // 3)
    monkeypatch.setattr(html, "GRID_BYTES", 3 * uri)
    source = report(tmp_path, World(**SMALL), drawn=True)
    assert 'alt="demo: grid-ct-brain-state.2"' not in source
    figures_folder = tmp_path / "experiments/demo/figures"
    for target in SMALL["targets"]:
        (figures_folder / f"grid-{target}.2.svg").write_text(SVG)
    html.write(tmp_path, ["demo"], tmp_path / "report.html")
    part = section((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert re.findall(r'alt="demo: grid-([^"]*)"', part) == [
        "ct-brain-state",
        "ct-brain-state.2",
        "mri-lung-side",
    ]
    assert "1 figure left out to keep this page small: experiments/demo/figures has all" in part


def test_no_grids_no_section(tmp_path):
    assert "What was held out" not in report(tmp_path, World(**SMALL))


def test_pictures_stop_at_their_budget():
    budget = ImageBudget(limit=10)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    png = buffer.getvalue()
    assert budget.uri(png, "here") == ""
    assert budget.left_out == 1
    assert ImageBudget(limit=10_000).uri(png, "here").startswith("data:image/png;base64,")


def test_an_experiment_without_tables_is_named(tmp_path):
    make(tmp_path, World(**SMALL))
    with pytest.raises(DataError, match=r"headline\.json: not found; compare experiment 'demo'"):
        html.write(tmp_path, ["demo"], tmp_path / "report.html")


def test_answers_to_unknown_questions_are_refused(tmp_path):
    world = World(**SMALL)
    report(tmp_path, world)
    path = tmp_path / "data/cat/mri-lung-side/test.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(DataError, match=r"test\.parquet: no question"):
        html.write(tmp_path, ["demo"], tmp_path / "report.html")


def test_several_backbones_are_all_in_the_headline(tmp_path):
    source = report(tmp_path, World(**SMALL, backbones=("small", "tiny")))
    assert source.count('<p class="headline">') == 2
    assert "Shown: small, full, 600." in source


def test_leaks_are_told_and_shown_side_by_side_from_closest_to_farthest(tmp_path):
    world = World(**SMALL)
    make(tmp_path, world)
    data = tmp_path / "data"
    source, *_ = read_samples(data / "cat/mri-lung-side/test.parquet")
    write_samples(data / "cat/other/train.parquet", [source])
    tests = [each.sample_id for each in read_samples(data / "cat/ct-brain-state/test.parquet")]
    found = [
        Leak("cat", "ct-brain-state", name, "7", "other", source.sample_id, "9", bits, not bits)
        for name, bits in zip(tests[:3], (0, 24, 12), strict=True)
    ]
    write_leaks(data / "leaks.tsv", found)
    use = ("cat", "ct-brain-state", "m", "drop", 60, 1, 1, 0, 0, "")
    write_table(data / "audit.tsv", audit.COLUMNS, [use])
    view = view_leaks(data, ImageBudget(100_000))
    assert view.sentence == (
        "3 test images of 1 target are also training images of some subset: 1 exactly, 2 nearly."
        " In 1 of 1 uses of mixes they were left out of training; no mix that is tested on them"
        " holds any."
    )
    assert [pair.caption.rsplit(": ", 1)[1] for pair in view.pairs] == [
        "equal pixels",
        "24 of 256 bits differ",
    ]
    assert all(pair.test.startswith("data:image/png") and pair.train for pair in view.pairs)
    assert view_leaks(data, ImageBudget(10)).pairs[0].test == ""


def test_without_leaks_the_report_says_so(demo):
    _, source, _ = demo
    assert "No test image of any target was found among the training images" in source
