"""torchvision and what imports it work beside a CPU build of torch, in any process."""

import subprocess
import sys

import pytest

pytest.importorskip("torch")


@pytest.mark.parametrize("module", ["torchvision", "transformers.models.llava.processing_llava"])
def test_import_in_a_fresh_process(module: str) -> None:
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
