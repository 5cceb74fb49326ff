"""docs/sources.md's page on OmniMedVQA, followed from an archive on a small hub to a table."""

import json
import random
import zipfile
from io import BytesIO

import pytest
from fake_hub import REPOSITORY, FakeHub, serving
from pages import EXAMPLE, eight, follow, section
from PIL import Image
from repository import fresh_copy
from workspace import Workspace

from matcg.config.library import load

pytestmark = pytest.mark.slow("two fine-tunings, and what follows from them")

# As catalogs/omnimedvqa.yaml cites the layout; how the release spells values is invented.
SETS = {
    "Retinal OCT-C8": "OCT",
    "Diabetic Retinopathy": "Fundus Photography",
    "ISIC2020": "Dermoscopy",
    "Chest CT Scan": "CT",
    "Blood Cell": "Microscopy",  # which the page's map lacks
}
ASKED = {"Disease Diagnosis": ("healthy", "ill"), "Modality Recognition": ("this", "that")}


def archive(n: int) -> bytes:
    """Return the release in small: n pictures of each data set, each asked of twice."""
    chance, file = random.Random(0), BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for dataset, modality in SETS.items():
            key = "modality" if dataset == "Chest CT Scan" else "modality_type"
            rows = []
            for at in range(n):
                path = f"Images/{dataset}/{at}.png"
                for task, words in ASKED.items():
                    asked = {"question_type": task, "question": "Which?", key: modality}
                    offered = {
                        "option_A": words[0],
                        "option_B": words[1],
                        "gt_answer": words[at % 2],
                    }
                    name = {"dataset": dataset, "question_id": f"{dataset}_{len(rows):04d}"}
                    rows.append(name | asked | offered | {"image_path": path})
                picture, data = BytesIO(), chance.randbytes(16 * 16 * 3)
                Image.frombytes("RGB", (16, 16), data).save(picture, "PNG")
                made.writestr(f"OmniMedVQA/{path}", picture.getvalue())
            table = f"OmniMedVQA/QA_information/Open-access/{dataset}.json"
            made.writestr(table, json.dumps(rows))
    return file.getvalue()


def test_eight_commands_lead_from_a_clone_to_a_table(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Follow the page; archive, backbone and experiment are made smaller, the hub is ours."""
    copy = Workspace(fresh_copy(tmp_path_factory.mktemp("omnimedvqa")))
    page = section("docs/sources.md", "OmniMedVQA, from nothing to a table")
    (mapped,) = [line for line in page.splitlines() if line.startswith("  area: {column")]
    copy.edit("catalogs/omnimedvqa.yaml", "  area: dataset", mapped)
    release = load("catalog", copy.root / "catalogs/omnimedvqa.yaml").release
    copy.edit("catalogs/omnimedvqa.yaml", release.repository, REPOSITORY)
    copy.edit("catalogs/omnimedvqa.yaml", "test_fraction: 0.1", "test_fraction: 0.4")
    ((path, experiment),) = EXAMPLE.findall(page)
    copy.write(path, experiment)
    copy.edit(path, "targets: [{area: Eye,", "minimum_questions: 4\ntargets: [{modality: OCT,")
    copy.edit(path, "samples: 1000", "samples: 24")
    copy.edit(path, "[qwen2.5-vl-7b]", "[tiny-llava]")
    copy.without_vllm()
    tree = {release.revision: {"OmniMedVQA.zip": archive(24), "README.md": b"not asked for"}}
    fetch, unpack, look, run = eight(page)
    with serving(FakeHub(tree, [release.revision])) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        assert f"{copy.root}/data/omnimedvqa: 1 files" in follow(copy.root, fetch)
    follow(copy.root, unpack)
    said = follow(copy.root, look)
    assert "8 subsets of 192 of 240 rows; 0 set aside" in said
    assert "area: no map covers 'Blood Cell' (48 rows)" in said
    follow(copy.root, run)
    results = copy.root / "results/experiments/omnimedvqa"
    assert "results/experiments/omnimedvqa/tables/summary.md" in page
    assert "tiny-llava" in (results / "tables/summary.md").read_text()
    mixes = (results / "plan/runs.tsv").read_text()
    assert "modality-recognition" in mixes, "the unrelated control"
