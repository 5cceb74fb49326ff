"""Memory of a GPU is given out in segments that grow, unless the user says otherwise."""

import os
import subprocess
import sys

import pytest

CODE = """
import os, sys
import matcg.train.job
assert "torch" not in sys.modules
print(os.environ.get("PYTORCH_ALLOC_CONF"))
"""


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, "expandable_segments:True"),
        ({"PYTORCH_ALLOC_CONF": "max_split_size_mb:64"}, "max_split_size_mb:64"),
        ({"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64"}, "None"),
    ],
)
def test_what_the_user_says_of_memory_holds(said, found):
    names = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    told = subprocess.run(
        [sys.executable, "-c", CODE], env=kept | said, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == found
