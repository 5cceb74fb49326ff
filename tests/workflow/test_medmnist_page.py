"""The commands of docs/sources.md's page on MedMNIST+, from files on a small server to a table."""

import hashlib
import re
import shlex
from pathlib import Path

import pytest
import yaml
from fake_hub import NEW, FakeHub, serving
from pages import eight, follow, section
from repository import fresh_copy
from workspace import Workspace

from medmnist_files import npz

pytestmark = pytest.mark.slow("two fine-tunings, and what follows from them")


def small(copy: Workspace) -> dict[str, bytes]:
    """Return small files of the twelve sets, of the numbers of labels that the catalog names."""
    catalog = yaml.safe_load((copy.root / "catalogs/medmnist.yaml").read_text())
    found = {}
    for seed, subset in enumerate(catalog["subsets"]):
        n = len(subset["options"]["names"])
        several = n if "question" in subset["options"] else 0
        found[f"{subset['id']}_64.npz"] = npz(64, n, (3 * n, 2, 2 * n), seed, several=several)
    return found


def test_eight_commands_lead_from_a_clone_to_a_table(tmp_path: Path) -> None:
    """Follow the page; files, backbone and experiment are made smaller, links are the server's."""
    copy = Workspace(fresh_copy(tmp_path))
    files = small(copy)
    *run, show = eight(section("docs/sources.md", "MedMNIST+, from nothing to a table"))
    with serving(FakeHub({NEW: files}, [NEW])) as hub:
        path = copy.root / "catalogs/medmnist.yaml"
        text = path.read_text()
        link = "https://zenodo.org/records/10519652/files/{file}?download=1"
        assert link in text
        text = text.replace(link, hub.store + "/store/{file}")
        for name, data in files.items():
            digest = hashlib.md5(data).hexdigest()
            text, n = re.subn(rf"{name}: [0-9a-f]{{32}}", f"{name}: {digest}", text)
            assert n == 1
        path.write_text(text)
        experiment = (copy.root / "experiments/medmnist.yaml").read_text()
        targets = re.sub("targets: .*", "targets: [organcmnist]\nminimum_questions: 8", experiment)
        copy.write("experiments/medmnist.yaml", targets)
        copy.edit("experiments/medmnist.yaml", "[other-view, all-related]", "[other-view]")
        copy.edit("experiments/medmnist.yaml", "samples: 1000", "samples: 24")
        copy.edit("experiments/medmnist.yaml", "[qwen2.5-vl-7b]", "[tiny-llava]")
        copy.without_vllm()
        for command in run:
            said = follow(copy.root, command)
            if "fetch_tables" in command:
                assert f"{copy.root}/data/medmnist: 12 files" in said
            if " plan " in command:
                assert "2 distinct runs" in said
    cat, path = shlex.split(show, comments=True)
    assert cat == "cat"
    table = (copy.root / path).read_text()
    assert "tiny-llava" in table
    summary = (copy.root / "results/experiments/medmnist/data/summary.tsv").read_text()
    (organ,) = [line for line in summary.splitlines() if "\torgancmnist\t" in line]
    assert "\tsource\t" in organ, "the official split is kept"
