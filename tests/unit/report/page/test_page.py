"""The HTML report: complete, self-contained, and deaf to what hostile files put into it.

What it does in a browser: tests/workflow/test_browser.py.
"""

import csv
import io
import json
import re
import shutil
from html.parser import HTMLParser

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from matcg.config.protocol import Protocol
from matcg.data import leak_audit as audit
from matcg.data.leaks import Leak, write_leaks
from matcg.errors import DataError
from matcg.plan.records import read_folders, read_runs
from matcg.report.figures import all as figures
from matcg.report.figures import grid
from matcg.report.page import listing
from matcg.report.page import page as html
from matcg.report.page.embed import embedded
from matcg.report.page.leaks import view_leaks
from matcg.report.page.provenance import engine_records, engine_times, made_by
from matcg.report.page.questions import ImageBudget
from matcg.samples import labelled, read_samples, write_samples
from matcg.tsv import write_tsv
from synthetic import EXPERIMENT, PLAN, World, make, table_of, tabulate, write_dicts, write_page

SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'
HOSTILE = '<script>alert("x")</script>'
SMALL = {"questions": 24, "targets": ("ct-brain-state", "mri-lung-side")}


def report(results, world, drawn=False, **options):
    make(results, world)
    out = tabulate(results)
    if drawn:
        (out / "figures").mkdir()
        for name in figures.NAMES:
            (out / f"figures/{name}.svg").write_text(SVG)
        for target in world.targets:
            (out / f"figures/grid-{target}.svg").write_text(SVG)
    return write_page(results, **options).read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects tags with attributes and the text outside of style and script."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.text, self.data, self._inside = [], [], [], ""
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, _):
        self._inside = ""

    def handle_data(self, data):
        if self._inside not in ("style", "script"):
            self.text.append(data)
        elif self.tags[-1] == ("script", {"type": "application/json"}):
            self.data.append(json.loads(data))

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]

    def questions(self):
        """Return the data of the questions, with texts in place of their numbers."""
        (data,) = (each for each in self.data if "kinds" in each)
        texts = data["texts"]
        for row in data["rows"]:
            row[0] = data["targets"][row[0]]["name"]
            row[1] = row[1] if row[1] is None else data["kinds"][row[1]]
            row[3:6] = texts[row[3]], texts[row[4]], [texts[number] for number in row[5]]
        arms = [[texts[name] for name, _ in each["groups"]] for each in data["targets"]]
        return data["rows"], arms


def own(source):
    """Return the page without the library's and our style sheets and scripts."""
    inside = embedded()
    for part in (*inside.styles, *inside.scripts):
        assert part in source
        source = source.replace(part, "")
    return source


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
    source = own(source)
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


def test_all_questions_are_there_with_the_answers_of_all_arms(demo):
    results, _, page = demo
    rows, arms = page.questions()
    assert len(rows) == 24 * 2
    wanted = ["cg: fixed-task", "cg: fixed-modality", "control", "baseline", "floor", "ceiling"]
    assert arms == [wanted, wanted]
    samples = {
        sample.sample_id: sample
        for target in SMALL["targets"]
        for sample in read_samples(results / f"data/cat/{target}/test.parquet")
    }
    answers = {
        (target, row["run"].split("/")[-2].split("-")[0] if "/" in row["run"] else row["run"],
         row["sample_id"]): row["predicted"]
        for target in SMALL["targets"]
        for row in table_of(results, target).to_pylist()
    }  # fmt: skip
    for target, kind, name, dataset, question, options, answer, picture, replies in rows:
        sample = samples[name]
        assert (question, tuple(options), answer) == (
            sample.question,
            sample.options,
            sample.answer,
        )
        assert dataset == "invented"
        assert picture.startswith("data:image/webp;base64,")
        chosen = {arm: reply[0] for arm, reply in zip(wanted, replies, strict=True)}
        for arm in ("control", "baseline", "floor", "ceiling"):
            assert chosen[arm] == answers[target, arm, name]
        assert all(right == (letter == answer) for letter, right in replies)
        # Two runs of CG are right where both are.
        cg, control = chosen["cg: fixed-task"] == chosen["cg: fixed-modality"] == answer, None
        control = chosen["control"] == answer
        kinds = {(True, False): "gain", (False, True): "loss", (True, True): "both"}
        assert kind == kinds.get((cg, control), "neither")


@pytest.mark.parametrize("seeds", [(0, 1), (0, 1, 2)])
def test_several_runs_show_the_most_frequent_answer_and_the_share_that_is_right(tmp_path, seeds):
    world = World(**SMALL, seeds=seeds, rules=("fixed-task",))
    rows, _ = Page(report(tmp_path, world)).questions()
    target, halves = "mri-lung-side", 0
    table = table_of(tmp_path, target).to_pylist()
    for place, kind, name, *_, answer, _, replies in rows:
        if place != target:
            continue
        right = {}
        for arm, (letter, n) in zip(("cg", "control"), replies, strict=False):
            mine = [r for r in table if r["sample_id"] == name and f"full/{arm}-" in r["run"]]
            chosen = [row["predicted"] for row in mine]
            assert len(chosen) == len(seeds)
            assert n == chosen.count(answer)
            assert chosen.count(letter) == max(map(chosen.count, chosen))
            right[arm] = n > len(seeds) / 2  # as many right as wrong are not mostly right
            halves += n == len(seeds) / 2
        kinds = {(True, False): "gain", (False, True): "loss", (True, True): "both"}
        assert kind == kinds.get((right["cg"], right["control"]), "neither")
    assert bool(halves) == (len(seeds) == 2)


def test_what_could_not_be_read_is_shown_as_such_unless_another_run_was(tmp_path):
    free = Protocol(name="generate", scoring="generate")
    world = World(**SMALL, protocols=(free,), unread=0.5, seeds=(0, 1))
    rows, _ = Page(report(tmp_path, world)).questions()
    seen = set()
    tables = {target: table_of(tmp_path, target).to_pylist() for target in SMALL["targets"]}
    for target, _, name, *_, answer, _, replies in rows:
        said = [
            row["predicted"]
            for row in tables[target]
            if row["sample_id"] == name and row["run"].startswith("full/control-")
        ]
        read = [each for each in said if each >= 0]
        letter, right = replies[2]
        assert letter in (read or [-1])
        assert right == said.count(answer)
        seen.add((len(read), right))
    assert {(0, 0), (1, 0), (1, 1)} <= seen


def test_engines_that_answered_are_summed_by_device(tmp_path):
    times = {"starts": 2, "start_s": 40, "loads": 9, "load_s": 3, "answer_s": 50, "questions": 1000}
    answers = []
    for name, device in (("full+0", "GPU"), ("full+1", "GPU"), ("full+2", "CPU"), ("lora+all", "")):
        for number in range(2):
            place = f"tiny/full/m{number}/seed0/cat/{name}.parquet"
            answers.append(tmp_path / place)
            answers[-1].parent.mkdir(parents=True, exist_ok=True)
            told = labelled(pa.schema([]), {"place": place, "record": name})
            pq.write_table(told.empty_table(), answers[-1])
        if device:
            record = {**times, "seconds": 100, "device": device}
            (tmp_path / f"tiny/{name}.json").write_text(json.dumps(record))
    gpu = (
        "4 engine starts, 20.0 s a start, 18 swaps of weights in 6.0 s, 2,000 questions in 100.0 s"
    )

    def said():
        return engine_times(engine_records(answers))

    cpu, both = said().splitlines()
    assert both == f"GPU: {gpu}, 20.0 a second, 200.0 s in all"
    assert cpu.startswith(
        "CPU: 2 engine starts, 20.0 s a start, 9 swaps of weights in 3.0 s, 1,000 q"
    )
    (tmp_path / "tiny/full+2.json").write_text("{}")
    assert said() == both
    for path in answers:
        path.unlink()
    assert said() == ""


A100 = {"cpu": "EPYC", "cores": 8, "gpus": [{"name": "A100"}] * 2, "cuda": "12.8", "driver": "570"}


def made(commit, changed=False, gpu=None, **packages):
    there = {"cpu": "EPYC", "cores": 8, "gpus": [{"name": gpu}] if gpu else []}
    git = {"commit": commit, "changed": changed}
    return {"git": git, "code": "c0de", "device": "cpu", "hardware": there, "packages": packages}


def test_what_made_the_runs_is_said_once_where_they_are_alike():
    said = made_by([made("abc", gpu="H200", torch="2.13")] * 3, "run").splitlines()
    assert said == [
        "3 runs, made alike",
        "commit: abc",
        "digest of the code: c0de",
        "device: H200",
        "processor: EPYC, 8 cores",
        "python: not recorded",
        "torch: 2.13",
    ]


def test_what_differs_between_runs_is_counted():
    records = [
        made("abc", torch="2.13"),
        made("abc", gpu="H200", torch="2.13", vllm="1"),
        made("abc", changed=True, torch="2.14", peft="2"),
        made(None, torch="2.13", peft="1") | {"hardware": A100},
        {"device": "A100"},  # a record of before
    ]
    first, *lines = made_by(records, "run").splitlines()
    said = dict(line.split(": ", 1) for line in lines)
    assert first == "5 runs, 8 of 9 lines differ between them"
    assert said["commit"] == (
        "abc (2 runs); not recorded (2 runs); abc (with uncommitted changes) (1 run)"
    )
    assert said["device"] == "cpu (2 runs); 2 x A100 (1 run); A100 (1 run); H200 (1 run)"
    assert said["CUDA"] == "none (4 runs); 12.8, driver 570 (1 run)"
    assert said["torch"] == "2.13 (3 runs); 2.14 (1 run); none (1 run)"
    assert said["peft"] == "none (3 runs); 1 (1 run); 2 (1 run)"
    assert made_by([], "run") == ""


def test_the_page_says_what_made_its_runs(demo):
    results, source, _ = demo
    assert "What made the runs" not in source
    runs = [folder / "provenance.json" for folder in read_runs(results / PLAN).values()]
    for number, path in enumerate(runs):
        path.write_text(json.dumps(made("abc", changed=number == 0)))
    page = write_page(results, "page.html").read_text()
    for path in runs:
        path.unlink()
    assert f"{len(runs)} runs, 1 of 5 lines differ between them" in page
    assert f"commit: abc ({len(runs) - 1} runs); abc (with uncommitted changes) (1 run)" in page


def test_the_page_says_what_the_engines_of_its_runs_took(demo):
    results, source, _ = demo
    assert "Engines that answered" not in source
    times = dict.fromkeys(
        ("starts", "start_s", "loads", "load_s", "answer_s", "questions", "seconds"), 2
    )
    groups = list(World().accuracy)
    records = [results / f"answers/tiny/{name}.json" for name in [*groups, "not-of-this-plan"]]
    for path in records:
        path.write_text(json.dumps({**times, "device": "CPU"}))
    page = write_page(results, "page.html").read_text()
    for path in records:
        path.unlink()
    assert f"CPU: {2 * len(groups)} engine starts, " in page


def test_pictures_go_to_questions_on_which_the_arms_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(html, "IMAGE_BYTES", 30_000)
    source = report(tmp_path, World(**SMALL))
    rows, _ = Page(source).questions()
    for target in SMALL["targets"]:
        pictured = [row for row in rows if row[0] == target and row[7]]
        telling = [row for row in rows if row[0] == target and row[1] in ("gain", "loss")]
        assert 0 < len(pictured) < len(telling)
        assert {row[1] for row in pictured} <= {"gain", "loss"}
    left_out = sum(not row[7] for row in rows)
    assert f"{left_out} pictures are left out to keep this page small" in source


def test_questions_are_left_out_above_their_bound_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(html, "QUESTION_BYTES", 1500)
    source = report(tmp_path, World(**SMALL))
    rows, _ = Page(source).questions()
    assert {row[0] for row in rows} == set(SMALL["targets"]), "each has its share"
    assert len(rows) < 48
    assert f"{48 - len(rows)} questions are left out" in source
    data = next(part for part in re.findall(r">(\{.*\})</script>", source) if "kinds" in part)
    assert len(re.sub(r'"data:[^"]*"', '""', data)) < 1500 + 1000, "names and kinds come on top"


def test_the_same_results_give_the_same_page(demo):
    results, source, _ = demo
    again = write_page(results, "again.html", config={"experiments": ["demo"]})
    assert again.read_text(encoding="utf-8") == source


def test_hostile_labels_stay_text(tmp_path):
    world = World(**SMALL, options=(HOSTILE, "b", "c", "d"), question=f"{HOSTILE}?")
    report(tmp_path, world)
    row = dict.fromkeys(("catalog", "subset", "file", "row", "image"), HOSTILE)
    columns = ("catalog", "subset", "file", "row", "reason", "image")
    reason = '"><img src=x onerror=alert(1)>'
    path = tmp_path / EXPERIMENT / "data/quarantine.tsv"
    write_dicts(path, columns, [{**row, "reason": reason}])
    (tmp_path / "plan/summary.md").write_text(f"# {HOSTILE}\n\n| {HOSTILE} |\n|---|\n| a |\n")
    source = write_page(tmp_path, config={"name": HOSTILE}).read_text(encoding="utf-8")
    page = Page(source)
    kinds = [script.get("type") for script in page.all("script")]
    assert kinds.count("module") == 2
    assert set(kinds) == {"module", "application/json"}
    assert HOSTILE not in source
    assert HOSTILE in "".join(page.text)
    assert any(HOSTILE in each.get("texts", ()) for each in page.data)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert all(image["src"].startswith("data:") for image in page.all("img"))


def test_long_tables_are_bounded_with_their_count_and_file(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "ROWS", 2)
    source = report(tmp_path, World(**SMALL))
    assert re.search(r"3 rows:\s*<a href=\"experiments/demo/data/quarantine.tsv\"", source)
    assert "The first 2 rows; all are in the file." in source
    assert all(len(each["rows"]) <= 2 for each in Page(source).data if "columns" in each)


def test_rows_that_two_experiments_share_are_listed_once(tmp_path):
    report(tmp_path, World(**SMALL))
    demo, again = tmp_path / EXPERIMENT, tmp_path / "experiments/again"
    shutil.copytree(demo, again)
    table = again / "plan/experiments.tsv"
    table.write_text(table.read_text().replace("demo\t", "again\t"))
    html.write_report({"demo": demo, "again": again}, tmp_path / "plan", tmp_path / "report.html")
    source = (tmp_path / "report.html").read_text()
    links = [
        f'<a href="experiments/{name}/data/quarantine.tsv">.*</a>' for name in ("demo", "again")
    ]
    assert re.search(rf"3 rows:\s*{links[0]}\s*{links[1]}", source)
    assert [source.count(f"<small>experiment {name},") for name in ("demo", "again")] == [1, 1]


def test_large_tables_are_data_with_a_few_rows_as_html(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "HTML_ROWS", 2)
    monkeypatch.setattr(listing, "PREVIEW", 1)
    source = report(tmp_path, World(**SMALL))
    assert source.count("is not among the options") == 2, "one as HTML, one as data"
    assert "The first 1 rows. JavaScript shows all." in source


def test_columns_without_a_value_are_left_out(tmp_path):
    assert "<th" in (source := report(tmp_path, World(**SMALL)))
    assert ">Row</th>" not in source
    assert ">Target&#39;s</th>" not in source
    plan = tmp_path / PLAN / "experiments.tsv"
    rows = list(csv.DictReader(plan.read_text().splitlines(), delimiter="\t"))
    write_dicts(plan, tuple(rows[0]), [{**row, "label": "first"} for row in rows])
    tabulate(tmp_path)
    assert ">Row</th>" in write_page(tmp_path).read_text()


def test_tables_are_linked_in_all_their_forms(demo):
    results, _, page = demo
    tables = f"{EXPERIMENT}/tables/"
    links = [link["href"] for link in page.all("a") if link["href"].startswith(tables)]
    stems = ("summary", "unbalanced_summary", "unbalanced", "comparison", "accuracy")
    endings = ("csv", "md", "tex")
    assert links == [f"{tables}{s}.{e}" for s in stems for e in endings]
    assert all((results / link).exists() for link in links)


def test_scores_by_label_are_there_where_labels_are_not_balanced(demo, tmp_path):
    assert "<h3>Labels that are not balanced</h3>" in demo[1]
    for title in ("Balanced accuracy", "Macro-F1", "AUROC"):
        assert demo[1].count(f">{title}</th>") == 2
    even = report(tmp_path, World(**SMALL, even=True))
    assert "not balanced" not in even
    assert "AUROC" not in even


def section(source):
    start = source.index("What was held out, what was learned from")
    return source[start : source.index("</section>", start)]


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
    figures_folder = tmp_path / EXPERIMENT / "figures"
    for target in SMALL["targets"]:
        (figures_folder / f"grid-{target}.2.svg").write_text(SVG)
    part = section(write_page(tmp_path).read_text(encoding="utf-8"))
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
    assert ImageBudget(limit=10_000).uri(png, "here").startswith("data:image/webp;base64,")


def test_an_experiment_without_tables_is_named(tmp_path):
    make(tmp_path, World(**SMALL))
    with pytest.raises(DataError, match=r"headline\.json: not found; compare experiment 'demo'"):
        write_page(tmp_path)


def test_answers_to_unknown_questions_are_refused(tmp_path):
    world = World(**SMALL)
    report(tmp_path, world)
    path = tmp_path / "data/cat/mri-lung-side/test.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(DataError, match=r"test\.parquet: no question"):
        write_page(tmp_path)


def test_several_backbones_are_all_in_the_headline(tmp_path):
    source = report(tmp_path, World(**SMALL, backbones=("small", "tiny")))
    assert source.count('<p class="headline">') == 2
    assert "Shown: small, full, 600." in source


def test_each_headline_names_its_score_where_there_are_others_than_accuracy(tmp_path):
    make(tmp_path, World(**SMALL))
    file = tabulate(tmp_path) / "headline.json"
    found = json.loads(file.read_text())
    (result,) = found["results"]
    said = f'<p class="headline">{result["sentence"]}'
    assert said in write_page(tmp_path).read_text(encoding="utf-8")
    found["results"].append(result | {"score": "mean IoU"})
    file.write_text(json.dumps(found))
    source = write_page(tmp_path).read_text(encoding="utf-8")
    assert said.replace(result["sentence"], f"accuracy: {result['sentence']}") in source
    assert said.replace(result["sentence"], f"mean IoU: {result['sentence']}") in source
    assert said not in source


def test_leaks_are_told_and_shown_side_by_side_from_closest_to_farthest(tmp_path):
    world = World(**SMALL)
    make(tmp_path, world)
    data, other = tmp_path / EXPERIMENT / "data", tmp_path / "data/cat/other"
    folders = {**read_folders(tmp_path / PLAN), ("cat", "other"): other}
    source, *_ = read_samples(folders["cat", "mri-lung-side"] / "test.parquet")
    write_samples(other / "train.parquet", [source])
    samples = read_samples(folders["cat", "ct-brain-state"] / "test.parquet")
    tests = [each.sample_id for each in samples]
    found = [
        Leak("cat", "ct-brain-state", name, "7", "other", source.sample_id, "9", bits, not bits)
        for name, bits in zip(tests[:3], (0, 24, 12), strict=True)
    ]
    write_leaks(data / "leaks.tsv", found)
    use = ("cat", "ct-brain-state", "m", "drop", 60, 1, 1, 0, 0, "")
    write_tsv(data / "audit.tsv", audit.COLUMNS, [use])
    view = view_leaks([data], folders, ImageBudget(100_000))
    assert view.sentence == (
        "3 test images of 1 target are also training images of some subset: 1 exactly, 2 nearly."
        " In 1 of 1 uses of mixes they were left out of training; no mix that is tested on them"
        " holds any."
    )
    assert [pair.caption.rsplit(": ", 1)[1] for pair in view.pairs] == [
        "equal pixels",
        "24 of 256 bits differ",
    ]
    assert all(pair.test.startswith("data:image/webp") and pair.train for pair in view.pairs)
    assert view_leaks([data], folders, ImageBudget(10)).pairs[0].test == ""
    assert view_leaks([data, data], folders, ImageBudget(100_000)) == view


def test_without_leaks_the_report_says_so(demo):
    _, source, _ = demo
    assert "No test image of any target was found among the training images" in source
