"""What a job computes on: the GPUs that it asked for, or the CPU, and never one for the other."""

import os

import torch

from matcg import provenance
from matcg.errors import ConfigError

# `pretended`: devices are leased that are not there, and the CPU computes (tests).
PRETENDED = "MATCG_GPUS"


def device_kind(asked: bool) -> str:
    """Return `cuda` where a job asked for GPUs, else `cpu`.

    Raises:
        ConfigError: torch sees no GPU though the job asked. A backbone of seven billion parameters
            would be trained on the CPU, for days or until its memory ends.
    """
    if not asked or os.environ.get(PRETENDED) == "pretended":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    raise ConfigError(_unseen(torch.version.cuda, provenance.driver()))


def _unseen(cuda: str | None, driver: str | None) -> str:
    """Return what to say where torch sees no GPU, by the CUDA it is built for and the driver."""
    built = f"is built for CUDA {cuda}" if cuda else "is built without CUDA"
    there = f"the NVIDIA driver here is {driver}" if driver else "no NVIDIA driver is seen here"
    if not cuda:
        advice = "install requirements/gpu.lock"
    elif driver:
        advice = "update the driver to what that CUDA needs, or name another node"
    else:
        advice = "name a machine or partition with GPUs"
    return (
        f"this job asks for GPUs, and torch {torch.__version__} sees none: it {built}, and {there};"
        f" {advice} (docs/cluster.md, Driver and cards), or set `gpu: 0` in the backbone's"
        " resources to compute on the CPU"
    )
