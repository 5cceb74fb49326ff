"""A job that asks for GPUs computes on them or not at all."""

import pytest
import torch

from matcg import provenance
from matcg.errors import ConfigError
from matcg.evaluate.start import start
from matcg.models.device import PRETENDED, device_kind

DRIVER = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu Jan 23 2025\n"


@pytest.fixture
def blind(monkeypatch, tmp_path):
    """Give a machine whose driver is too old for torch's CUDA, so that torch sees no GPU."""
    (tmp_path / "version").write_text(DRIVER)
    monkeypatch.setattr(provenance, "DRIVER", tmp_path / "version")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("blind")
def test_a_gpu_that_torch_does_not_see_is_refused_with_cuda_and_driver():
    with pytest.raises(ConfigError, match=r"CUDA 13\.0, and the NVIDIA driver here is 570\.86\.15"):
        device_kind(True)


@pytest.mark.usefixtures("blind")
def test_a_build_without_cuda_is_told_apart(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(ConfigError, match=r"built without CUDA, .* install requirements/gpu\.lock"):
        device_kind(True)


@pytest.mark.usefixtures("blind")
def test_a_job_that_asks_for_none_computes_on_the_cpu(monkeypatch):
    assert device_kind(False) == "cpu"
    monkeypatch.setenv(PRETENDED, "pretended")
    assert device_kind(True) == "cpu"


@pytest.mark.usefixtures("blind")
@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_no_engine_answers_on_the_cpu_for_a_backbone_that_asks_for_gpus(tiny, engine):
    resources = tiny.resources.model_copy(update={"gpu": 1})
    asked = tiny.model_copy(update={"engine": engine, "resources": resources})
    with pytest.raises(ConfigError, match="sees none"):
        start(asked.weights, asked, {})
