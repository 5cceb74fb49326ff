"""Lets a CUDA build of torchvision be imported beside a CPU build of torch.

PyPI's torchvision is built for CUDA. Beside CPU torch its native library cannot load, so its
operators are missing, and its import fails where it registers shapes for two of them. PyTorch calls
`define_missing` on import, in every process, by the entry point group `torch.backends`. Where a
matching torchvision is installed it does nothing.
"""

from importlib.util import find_spec
from pathlib import Path

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

# A library's definitions vanish with the object that made them.
_libraries: list[torch.library.Library] = []


def define_missing() -> None:
    """Declare the operators that torchvision's import asks for; calling them still fails."""
    if torch.version.cuda is not None or not _cuda_torchvision():
        return
    if hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        library.define(schema)
    _libraries.append(library)


def _cuda_torchvision() -> bool:
    """Tell whether the installed torchvision is a CUDA build, without importing it."""
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    version = Path(spec.origin).with_name("version.py")
    return version.is_file() and "+cu" in version.read_text(encoding="utf-8")
