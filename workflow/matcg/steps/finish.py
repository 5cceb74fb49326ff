"""What the last job of a call does beside its page: note speeds, set links, say what came out."""

import json
from collections.abc import Iterable
from pathlib import Path

from matcg.plan import throughput
from matcg.plan.places import point_to, report_as_linked


def finish(experiments: Iterable[Path], plan: Path, page: Path) -> str:
    """Return each experiment's headline and where the page is, as lines.

    `experiments` are their folders, `plan` is that of the plan, whose finished jobs give the price
    of the next plan. Their names without digests become links to them.
    """
    folders, results = list(experiments), page.parent
    throughput.refresh(plan)
    point_to(plan.name, [folder.name for folder in folders], results)
    found = [json.loads((folder / "headline.json").read_text()) for folder in folders]
    lines = [each["headline"] for each in found]
    return "\n".join([*lines, f"Report: {report_as_linked(page)}"])
