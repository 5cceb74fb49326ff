"""Whether `make promise` has held for the default experiment as it is: `checked.py [--write]`.

The name of the experiment's results has the digest of all that decides them. The last for which
the promise held stands in checked.txt; where it is another, the exit status is 1.
"""

import sys
from pathlib import Path

import yaml

from matcg.config.project import load_project
from matcg.plan.enumerate import make_plan
from matcg.steps.experiments import Experiments
from matcg.steps.lookup import Lookup

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).with_name("checked.txt")


def name() -> str:
    """Return the name of the default experiment's results, with its digest."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    project = load_project(config, ROOT, dict.fromkeys(config, ROOT / "config.yaml"))
    (found,) = Experiments(Lookup(project, make_plan(project), ROOT)).named
    return found


if __name__ == "__main__":
    if "--write" in sys.argv:
        RECORD.write_text(f"{name()}\n", encoding="utf-8")
    sys.exit(RECORD.read_text(encoding="utf-8").strip() != name())
