"""The report in a browser: tables sort and filter, questions open, hostile labels do nothing."""

import csv
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from browser import MISSING, Browser, browser

from matcg.plan.records import Excluded
from matcg.report.tables.declared import ACCURACY, COMPARISON
from matcg.report.tables.table import read_rows
from matcg.report.tables.write import write_table
from matcg.tsv import read_tsv
from synthetic import EXPERIMENT, PLAN, World, about, make, tabulate, write_dicts, write_page

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

TARGETS = ("ct-brain-state", "mri-lung-side")
# What a page must show as it is. Texts with an ampersand pass through an element when searched.
IMAGE = "<img src=x onerror=document.title='hit'>&amp;"
SCRIPT = "</script><script>document.title='hit'</script>&lt;"
SVG = "\"><svg onload=document.title='hit'>&"
COMMENT = "<!--<script>"


def page_of(results: Path) -> Path:
    return write_page(results, config={"experiments": ["demo", IMAGE, SCRIPT]})


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def quiet(chromium: Browser) -> Iterator[Browser]:
    """Return a browser in which a test's page must say nothing and load nothing."""
    yield chromium
    assert chromium.console() == []
    assert set(chromium.requested()) == {chromium.driver.current_url}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("demo")
    accuracy = {"baseline": 0.25, "cg": 0.5, "control": 0.45}
    world = World(targets=TARGETS, questions=24, combinations=8, seeds=(0, 1, 2), accuracy=accuracy)
    make(results, world)
    tabulate(results)
    page_of(results)
    return results


def listing(page: Browser, title: str) -> Any:
    """Return the table that follows a heading or stands in a fold, once the library has it."""
    box = page.run(
        "const head = [...document.querySelectorAll('h2, h3, summary')]"
        "  .find((each) => each.textContent.startsWith(arguments[0]));"
        "if (head.tagName === 'SUMMARY') head.parentElement.open = true;"
        "let next = head;"
        "while (!next.matches('.table, .questions')) next = next.nextElementSibling;"
        "next.scrollIntoView(); return next;",
        title,
    )
    page.wait(lambda: page.find(".dt-container", box))
    return box


def column(page: Browser, box: Any, header: str) -> list[str]:
    """Return a column of the rows that are shown."""
    number = headers(page, box).index(header)
    return [cell.text for cell in page.find(f"tbody td:nth-child({number + 1})", box)]


def headers(page: Browser, box: Any) -> list[str]:
    return [title.text for title in page.find("thead .dt-column-title", box)]


def head(page: Browser, box: Any, header: str) -> Any:
    return page.find("thead th", box)[headers(page, box).index(header)]


def info(page: Browser, box: Any) -> str:
    return str(page.find(".dt-info", box)[0].text)


def read(results: Path, name: str = "comparison") -> list[dict[str, str]]:
    path = results / EXPERIMENT / f"tables/{name}.csv"
    return list(csv.DictReader(path.read_text().splitlines()))


def percent(values: list[float]) -> list[str]:
    return [f"{100 * value:.1f}" for value in values]


def test_a_table_sorts_numbers_as_numbers(quiet: Browser, demo: Path) -> None:
    quiet.open(demo / "report.html")
    box = listing(quiet, "Every combination")
    wanted = sorted(float(row["difference"]) for row in read(demo))
    assert percent(wanted) != sorted(percent(wanted)), "as text they would sort otherwise"
    title = quiet.find(".dt-column-order", head(quiet, box, "Difference"))[0]
    for order in (wanted, wanted[::-1]):
        title.click()
        seen = [cell.split(" ")[0] for cell in column(quiet, box, "Difference")]
        assert seen == percent(order[: len(seen)])
    assert len(seen) == 25


def test_a_table_is_filtered_by_text_and_by_number(quiet: Browser, demo: Path) -> None:
    quiet.open(demo / "report.html")
    box = listing(quiet, "Every combination")
    search = quiet.find(".dt-search input", box)[0]
    search.send_keys("mri-lung-side fixed-task")
    assert set(column(quiet, box, "Target")) == {"mri-lung-side"}
    assert info(quiet, box).startswith("Showing 1 to 8 of 8 entries")
    search.clear()
    search.send_keys(" ")
    quiet.find(".dtcc button", head(quiet, box, "CG"))[0].click()
    form = quiet.find(".dtcc-dropdown", box)[0]
    quiet.run(
        "arguments[0].value = 'greater'; arguments[0].dispatchEvent(new Event('input'));",
        quiet.find("select", form)[0],
    )
    exact = sorted(float(row["cg"]) for row in read(demo))
    shown = percent(exact)
    # One that is shown as less than it is: readers filter by what they see.
    bound = next(
        text for value, text in zip(exact[8:], shown[8:], strict=True) if 100 * value > float(text)
    )
    quiet.find("input", form)[0].send_keys(bound)
    above = [value for value in shown if float(value) > float(bound)]
    assert 0 < len(above) < len(shown)
    quiet.wait(lambda: f"of {len(above)} entries" in info(quiet, box))
    assert all(float(value) > float(bound) for value in column(quiet, box, "CG"))


def test_filters_are_reached_by_keyboard(quiet: Browser, demo: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    quiet.open(demo / "report.html")
    box = listing(quiet, "Every combination")
    title = quiet.find(".dt-column-order", head(quiet, box, "Target"))[0]
    quiet.run("arguments[0].focus()", title)
    title.send_keys(Keys.ENTER)
    assert column(quiet, box, "Target")[0] == min(TARGETS)
    title.send_keys(Keys.ENTER)
    assert column(quiet, box, "Target")[0] == max(TARGETS)


def choose(page: Browser, box: Any, field: str, text: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(page.find(f"select[data-field={field}]", box)[0]).select_by_visible_text(text)


def test_questions_of_a_target_are_shown_by_kind_with_pictures(quiet: Browser, demo: Path) -> None:
    quiet.open(demo / "report.html")
    counts = listing(quiet, "Questions of demo")
    told = dict(
        zip(
            column(quiet, counts, "Target"),
            column(quiet, counts, "CG right, control wrong"),
            strict=True,
        )
    )
    box = listing(quiet, "What was asked")
    assert f"of {24 * len(TARGETS)} entries" in info(quiet, box)
    choose(quiet, box, "target", "mri-lung-side")
    assert "of 24 entries" in info(quiet, box)
    choose(quiet, box, "kind", "CG right, control wrong")
    assert f"of {told['mri-lung-side']} entries" in info(quiet, box)
    rows = quiet.find("tbody tr", box)
    assert rows
    for row in rows:
        assert "mri-lung-side" in row.text
        assert "CG right, control wrong" in row.text
        assert row.text.count("(answer)") == 1
        assert "cg: fixed-task" in row.text
        assert "of 24 runs right" in row.text
        assert "of 3 runs right" in row.text
    pictures = quiet.find("td.picture img", box)
    assert len(pictures) == len(rows)
    assert quiet.wait(lambda: all(int(each.get_property("naturalWidth")) > 0 for each in pictures))
    quiet.find(".dt-search input", box)[0].send_keys("test-00003")
    shown = quiet.find("tbody tr", box)
    assert len(shown) == 1
    assert "test-00003" in shown[0].text or "No matching" in shown[0].text


def test_it_fits_a_phone(quiet: Browser, demo: Path) -> None:
    quiet.driver.set_window_size(500, 900)
    quiet.open(demo / "report.html")
    listing(quiet, "Every combination")
    listing(quiet, "What was asked")
    widths = quiet.run("return [document.documentElement.scrollWidth, innerWidth]")
    quiet.driver.set_window_size(1366, 900)
    assert widths[0] <= widths[1]


def test_without_javascript_headline_and_small_tables_can_be_read(demo: Path) -> None:
    with browser(javascript=False) as plain:
        plain.open(demo / "report.html")
        assert plain.find(".dt-container") == []
        text = plain.find("body")[0].text
        assert "CG" in plain.find(".headline")[0].text
        assert "48 questions, which JavaScript shows." in text
        assert all(row["combination"] in text for row in read(demo))
        assert plain.console() == []


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return results in which every label that data can hold is an attack."""
    results = tmp_path_factory.mktemp("hostile")
    world = World(
        targets=TARGETS,
        questions=12,
        rules=("fixed-task", f"{IMAGE}"),
        options=(IMAGE, SCRIPT, SVG, COMMENT),
        question=f"{IMAGE} {SCRIPT} {SVG} {COMMENT}?",
    )
    make(results, world)
    for name, column in (
        ("experiments", "target"),
        ("evaluations", "target"),
        ("subsets", "subset"),
    ):
        table = results / PLAN / f"{name}.tsv"
        rows = [{**row, column: renamed(row[column])} for row in read_tsv(table)]
        for row in rows:
            if "path" in row:
                path = Path(row["path"])
                row["path"] = str(path.rename(path.with_name(renamed(path.name))))
            else:
                row["combination"] = row["combination"] and f"{SVG} + {SCRIPT}"
                row["label"] = SCRIPT
        write_dicts(table, tuple(rows[0]), rows)
    attacks = (IMAGE, SCRIPT, SVG, COMMENT)
    columns = ("catalog", "subset", "file", "row", "reason", "image")
    # As many rows as a table needs to be searched.
    quarantined = [
        {**dict.fromkeys(columns, attack), "row": f"{row} {attack}"}
        for attack in attacks
        for row in range(3)
    ]
    out = results / EXPERIMENT
    write_dicts(out / "data/quarantine.tsv", columns, quarantined)
    excluded = tuple(field.name for field in fields(Excluded))
    for name, columns in (("data/summary", ("catalog", "why")), ("plan/excluded", excluded)):
        rows = [dict.fromkeys(columns, attack) for attack in attacks]
        write_dicts(out / f"{name}.tsv", columns, rows)
    lines = [f"| {attack} | b |" for attack in attacks]
    text = "\n".join([f"# {SCRIPT}", "", f"| {IMAGE} | b |", "|---|---|", *lines, "", SVG])
    (results / "plan/summary.md").write_text(text)
    tabulate(results)
    page_of(results)
    return results


def renamed(target: str) -> str:
    return target.replace("ct-brain-state", f"{IMAGE}{SVG}")


def test_hostile_labels_are_text_and_run_nothing(quiet: Browser, hostile: Path) -> None:
    quiet.open(hostile / "report.html")
    quiet.run("for (const fold of document.querySelectorAll('details')) fold.open = true;")
    boxes = quiet.find(".table, .questions")
    for box in boxes:
        quiet.run("arguments[0].scrollIntoView()", box)
        quiet.wait(lambda box=box: quiet.find(".dt-container", box))
        for title in quiet.find(".dt-column-order", box):
            quiet.run("arguments[0].click()", title)
        for search in quiet.find(".dt-search input", box):
            search.send_keys("onerror")
            search.clear()
            search.send_keys(" ")
    assert len(boxes) >= 8
    for attack in (IMAGE, SCRIPT, SVG, COMMENT):
        for title in ("What was asked", "Quarantine"):
            assert attack in listing(quiet, title).text, (title, attack)
    assert f"{IMAGE}{SVG}" in listing(quiet, "Every combination").text
    assert quiet.run("return document.title") == "matcg report"
    assert quiet.find("[onerror], [onload], img[src=x]") == []
    assert quiet.run("return document.scripts.length") == len(boxes) + 2
    assert quiet.find("svg:not(.dtcc svg, .dt-container svg)") == []


def test_an_attack_is_found_by_searching_for_it(quiet: Browser, hostile: Path) -> None:
    quiet.open(hostile / "report.html")
    box = listing(quiet, "Quarantine")
    quiet.find(".dt-search input", box)[0].send_keys("<svg onload")
    assert set(column(quiet, box, "reason")) == {SVG}


MANY = 10_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return results whose tables have been drawn out to 10,000 combinations."""
    results = tmp_path_factory.mktemp("large")
    make(results, World(targets=TARGETS, questions=24))
    tabulate(results)
    for table, count in ((COMPARISON, MANY), (ACCURACY, 3 * MANY)):
        folder = results / EXPERIMENT / "tables"
        rows = read_rows(folder, table)
        name = "difference" if table is COMPARISON else "accuracy"
        many = [
            replace(
                rows[n % len(rows)],
                combination=f"combination {n}",
                **{name: about((n * 7919 % count) / count)},
            )
            for n in range(count)
        ]
        write_table(folder, table, many, "demo")
    page_of(results)
    return results


@pytest.mark.parametrize(
    ("title", "header", "count"),
    [("Every combination", "Difference", MANY), ("Every evaluation", "Accuracy", 3 * MANY)],
)
def test_large_tables_open_sort_and_filter(
    quiet: Browser, large: Path, title: str, header: str, count: int
) -> None:
    quiet.open(large / "report.html")
    box = listing(quiet, title)
    assert f"of {count:,} entries" in info(quiet, box)
    assert len(quiet.find("tbody tr", box)) == 25
    order = quiet.find(".dt-column-order", head(quiet, box, header))[0]
    order.click()
    assert column(quiet, box, header)[0].startswith("0.0")
    order.click()
    assert column(quiet, box, header)[0].startswith("100.0")
    quiet.find(".dt-search input", box)[0].send_keys(f"combination {count - 1}")
    quiet.wait(lambda: "of 1 entry" in info(quiet, box))
    assert column(quiet, box, "Sources") == [f"combination {count - 1}"]
