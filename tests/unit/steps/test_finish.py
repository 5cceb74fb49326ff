"""What the last job of a call leaves behind and says."""

import json
from pathlib import Path

from matcg.steps.finish import finish


def test_headlines_are_said_in_order_and_the_page_by_its_link(tmp_path: Path) -> None:
    folders = [tmp_path / "experiments" / name for name in ("b-0000000b", "a-0000000a")]
    for folder in folders:
        folder.mkdir(parents=True)
        said = json.dumps({"headline": f"{folder.name[0]} gained"})
        (folder / "headline.json").write_text(said)
    plan, page = tmp_path / "plans/a+b-00000001", tmp_path / "report-a+b-00000001.html"
    plan.mkdir(parents=True)
    page.touch()
    said = finish(folders, plan, page)
    assert said == f"b gained\na gained\nReport: {tmp_path / 'report.html'}"
    assert (tmp_path / "plan").resolve() == plan
    assert (tmp_path / "experiments/a").resolve() == folders[1]
