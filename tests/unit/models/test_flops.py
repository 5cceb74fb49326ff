"""The count of a step's arithmetic: the tiny backbone's against PyTorch's own; peaks of GPUs.

The count of every other architecture: `tests/workflow/test_sibling_flops.py`.
"""

import pytest
import torch

from matcg.config.backbone import Recipe
from matcg.models.flops import PEAKS, Work, peak_flops, peak_of
from matcg.models.loading import choose_parameters
from matcg.train.tasks import TrainingSample
from sibling_fixtures import questions, start
from step_flops import counted, ours
from training import mixed

__all__ = ["mixed"]

TASKS = [TrainingSample(sample, sample.answer) for sample in questions(2)]


@pytest.mark.parametrize(
    "trained",
    [
        {"trains": ("llm", "projector", "tower")},
        {"trains": ("projector",)},
        {"method": "lora", "rank": 4, "trains": ("llm",)},
    ],
)
def test_the_tiny_backbone_is_counted_to_the_last_product(tiny, trained) -> None:
    model, reader = start(tiny)
    recipe = Recipe(learning_rate=1, epochs=1, batch_size=2, **trained)
    model = choose_parameters(model, recipe).train()
    assert ours(model, reader, TASKS) == counted(model, reader, TASKS)


def test_longer_answers_are_counted_with_the_logits_of_each_token(tiny, mixed) -> None:
    model, reader = start(tiny)
    tasks = [mixed[1], *mixed[:5:2]]
    assert ours(model, reader, tasks) == counted(model, reader, tasks)


def test_flops_are_those_of_pictures_tokens_pairs_and_samples() -> None:
    work = Work(picture=1e8, token=1e6, square=1e3, cross=1e2, logits=1.0)
    assert work.flops([30, 50], 2) == 2e8 + 80e6 + (900 + 2500) * 1e3 + 80e2 + 2
    assert work.flops([30, 50], 2, 7) == work.flops([30, 50], 2) + 5
    assert work.flops([], 0) == 0


@pytest.mark.parametrize(
    ("name", "dtype", "tera"),
    [
        ("NVIDIA A100-SXM4-80GB", torch.bfloat16, 312),
        ("NVIDIA A100 80GB PCIe", torch.float32, 19.5),
        ("NVIDIA H100 80GB HBM3", torch.bfloat16, 989.5),
        ("NVIDIA H100 NVL", torch.float16, 835.5),
        ("NVIDIA H100 PCIe", torch.bfloat16, 756.5),
        ("NVIDIA H200", torch.bfloat16, 989.5),
        ("NVIDIA GH200 480GB", torch.bfloat16, 989.5),
        ("NVIDIA L40S", torch.bfloat16, 362.05),
        ("NVIDIA L40", torch.bfloat16, 181.05),
        ("NVIDIA GeForce RTX 4090", torch.bfloat16, 165.2),
        ("Tesla V100-SXM2-32GB", torch.float16, 125),
    ],
)
def test_a_known_gpu_has_its_dense_peak(name: str, dtype: torch.dtype, tera: float) -> None:
    assert peak_of(name, dtype) == pytest.approx(tera * 1e12)


def test_float32_is_faster_where_it_may_be_rounded() -> None:
    a100, v100 = "NVIDIA A100-SXM4-40GB", "Tesla V100-SXM2-16GB"
    assert peak_of(a100, torch.float32, tf32=True) == 156e12
    assert peak_of(v100, torch.float32, tf32=True) == peak_of(v100, torch.float32) == 15.7e12


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("NVIDIA A100-SXM4-80GB MIG 3g.40gb", torch.bfloat16),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", torch.bfloat16),
        ("NVIDIA GeForce RTX 4090 D", torch.bfloat16),
        ("NVIDIA B2000", torch.bfloat16),
        ("Tesla V100-SXM2-32GB", torch.bfloat16),
        ("NVIDIA A100-SXM4-80GB", torch.int8),
    ],
)
def test_what_no_data_sheet_says_is_not_guessed(name: str, dtype: torch.dtype) -> None:
    assert peak_of(name, dtype) is None


def test_no_entry_is_shadowed_and_each_is_faster_in_fewer_bits() -> None:
    assert len({peak.name for peak in PEAKS}) == len(PEAKS)
    assert all(peak.half > (peak.tf32 or 0) >= 0 and peak.half > peak.single for peak in PEAKS)
    assert all(peak.tf32 is None or peak.tf32 >= peak.single for peak in PEAKS)


def test_a_cpu_has_no_peak() -> None:
    assert peak_flops(torch.device("cpu"), torch.float32) is None
