"""Every module is imported by a test, or stands here with the tests that reach it otherwise."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Parts that are asked for through their package, of which they are no more than a piece.
REACHED = {
    "config.arm": "unit/plan/test_enumerate.py",
    "config.derived": "unit/config/test_derived.py",
    "config.finding_options": "unit/data/test_findings.py",
    "config.folder_options": "unit/data/test_class_folders.py",
    "config.grid": "unit/config/test_project.py",
    "coordinates.fractions": "unit/coordinates/test_coordinates.py",
    "coordinates.pixels": "unit/coordinates/test_coordinates.py",
    "coordinates.thousandths": "unit/coordinates/test_coordinates.py",
    "coordinates.thousandths_json": "unit/coordinates/test_coordinates.py",
    "coordinates.tiny": "unit/coordinates/test_coordinates.py",
    "data.annotated": "unit/data/test_findings.py",
    "data.finding_questions": "unit/data/test_finding_questions.py",
    "data.label_names": "unit/data/test_questions.py",
    "data.mask_values": "unit/data/test_findings.py",
    "data.phantom_samples": "unit/data/test_prepare.py",
    "data.readers.class_folders": "unit/data/test_class_folders.py",
    "data.readers.coco": "unit/data/test_findings.py",
    "data.readers.derived": "unit/data/test_derived_samples.py",
    "data.readers.masks": "unit/data/test_findings.py",
    "data.readers.medmat": "unit/data/test_prepare.py",
    "data.readers.medmnist": "unit/data/test_medmnist.py",
    "data.readers.phantom": "unit/data/test_prepare.py",
    "data.readers.questions": "unit/data/test_questions.py",
    "data.readers.table": "unit/data/test_findings.py",
    "data.readers.voc": "unit/data/test_findings.py",
    "data.readers.yolo": "unit/data/test_findings.py",
    "data.row_cells": "unit/data/test_questions.py",
    "evaluate.timing": "unit/evaluate/test_predict.py",
    "images.deep": "unit/images/test_faithful.py",
    "images.tiff": "unit/images/test_faithful.py",
    "models.families.llava": "workflow/test_siblings.py",
    "models.families.mllama": "workflow/test_siblings.py",
    "models.families.qwen2_5_vl": "workflow/test_siblings.py",
    "models.families.qwen2_vl": "workflow/test_siblings.py",
    "models.families.qwen3_vl": "workflow/test_siblings.py",
    "models.llava_names": "unit/models/test_convert.py",
    "models.llava_source": "unit/models/test_convert.py",
    "models.messages": "unit/train/test_export.py",
    "models.small_sizes": "workflow/test_siblings.py",
    "models.torchvision_ops": "workflow/test_torchvision_ops.py",
    "phantom.anatomy": "unit/phantom/test_world.py",
    "phantom.geometry": "unit/phantom/test_world.py",
    "plan.arms": "unit/plan/test_enumerate.py",
    "plan.covers": "unit/plan/test_covers.py",
    "plan.mute": "unit/plan/test_price.py",
    "report.figures.arms": "unit/report/figures/test_all.py",
    "train.launch": "workflow/test_parallel.py",
    "train.taken_over": "unit/train/test_finetune.py",
    "train.worker": "workflow/test_parallel.py",
}


def named() -> Iterator[str]:
    """Yield what the tests import."""
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)


def test_every_module_is_tested() -> None:
    library = ROOT / "workflow/matcg"
    paths = (p.relative_to(library) for p in library.rglob("*.py") if p.name != "__init__.py")
    modules = {".".join(path.with_suffix("").parts) for path in paths}
    unnamed = modules - {name.removeprefix("matcg.") for name in named()}
    assert unnamed == REACHED.keys(), "give a module a test, or say here what reaches it"
    assert not [path for path in REACHED.values() if not (ROOT / "tests" / path).is_file()]


def test_no_two_files_of_tests_have_one_name() -> None:
    """Pytest imports them by name, and leaves out the second only in a run of both."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, times in names.items() if times > 1] == []
