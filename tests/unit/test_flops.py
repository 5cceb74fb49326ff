"""The count of a step's arithmetic, against PyTorch's own of what tiny siblings did."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import MistralConfig

from matcg.config import Backbone, Recipe
from matcg.train.finetune import Reader, Task, choose_parameters, step_loss
from matcg.train.flops import PEAKS, Work, peak_flops, peak_of
from sibling_fixtures import questions, siblings, start

__all__ = ["siblings"]

TASKS = [Task(sample, sample.answer) for sample in questions(2)]
ALL = ("llm", "projector", "tower")
# The last leaves no gradient where tower and text begin, and all of it where they end.
TRAINED = {
    "full": {"trains": ALL},
    "frozen tower": {"trains": ("llm", "projector")},
    "projector": {"trains": ("projector",)},
    "lora of llm": {"method": "lora", "rank": 4, "trains": ("llm",)},
    "lora": {"method": "lora", "rank": 4, "trains": ALL},
}
LLAVA = ("llava-1.5-7b", "huatuogpt-vision-7b")
QWEN = ("qwen2-vl-7b", "qwen2.5-vl-7b", "qwen3-vl-8b")
MLLAMA = "llama-3.2-11b-vision"


def counted(model: nn.Module, reader: Reader) -> int:
    """Return PyTorch's count, each prompt alone and so without padding.

    Attention is computed as products of matrices: of its other kernels for CPUs nothing is counted.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step_loss(model, reader, TASKS, micro=1, step=0)
    return int(counter.get_total_flops())


def ours(model: nn.Module, reader: Reader) -> float:
    tokens = [int(reader.inputs([t.sample])["attention_mask"].sum()) for t in TASKS]
    assert len(set(tokens)) == len(tokens)
    work = Work.of(model, reader.backbone.image.size)
    assert work is not None
    return work.flops(tokens, len(tokens))


def trained(backbone: Backbone, case: str) -> tuple[nn.Module, Reader]:
    model, reader = start(backbone)
    recipe = Recipe(learning_rate=1, epochs=1, batch_size=2, **TRAINED[case])
    return choose_parameters(model, recipe).train(), reader


@pytest.mark.parametrize("case", TRAINED)
@pytest.mark.parametrize("name", QWEN)
def test_qwen_is_counted_to_the_last_product(siblings, name: str, case: str) -> None:
    model, reader = trained(siblings(name), case)
    assert ours(model, reader) == counted(model, reader)


@pytest.mark.parametrize("case", TRAINED)
@pytest.mark.parametrize("name", LLAVA)
def test_a_layer_of_llavas_tower_that_is_not_read_does_not_count(
    siblings, name: str, case: str
) -> None:
    model, reader = trained(siblings(name), case)
    mine = ours(model, reader)
    assert mine < counted(model, reader)
    del model.get_submodule(tower_of(model))[-1]
    config = (model.get_base_model() if case.startswith("lora") else model).config
    config.vision_feature_layer = -1
    config.vision_config.num_hidden_layers -= 1
    assert mine == ours(model, reader) == counted(model, reader)


def tower_of(model: nn.Module) -> str:
    """Return where the layers of LLaVA's tower are."""
    ends = "vision_tower.encoder.layers"
    return next(name for name, _ in model.named_modules() if name.endswith(ends))


@pytest.mark.parametrize("case", TRAINED)
def test_mllama_is_counted_but_for_its_mask_and_one_gradient(siblings, case: str) -> None:
    backbone = siblings(MLLAMA)
    image = backbone.image.model_copy(update={"size": 112})  # four tiles: none is empty
    model, reader = trained(backbone.model_copy(update={"image": image}), case)
    states = 4 * 24  # 16 patches and the class, padded to a multiple of 8
    mask = len(TASKS) * 2 * states**2
    difference = ours(model, reader) - (counted(model, reader) - mask)
    # Where text is frozen up to the first layer that sees, its queries need no gradient there.
    tokens = sum(len(reader.inputs([t.sample])["input_ids"][0]) for t in TASKS)
    assert difference == (2 * 64 * tokens * 4 * 17 if case == "projector" else 0)


def test_tiles_that_are_empty_are_seen_by_the_tower_and_not_read(siblings) -> None:
    backbone = siblings(MLLAMA)
    model, reader = trained(backbone, "full")
    one, four = (Work.of(model, edge) for edge in (56, 112))
    assert one is not None
    assert four is not None
    assert four.cross == 4 * one.cross
    assert one.token == four.token
    # The projector makes 64 of 128 numbers a state; keys and values are 32 each of these 64.
    assert four.picture - one.picture == 3 * 17 * 6 * (128 * 64 + 2 * 64 * 32)
    assert ours(model, reader) < counted(model, reader)


def test_an_unknown_model_is_not_guessed(siblings) -> None:
    model, _ = start(siblings("llava-1.5-7b"))
    model.config.text_config = MistralConfig()
    assert Work.of(model, 56) is None
    model.config.model_type = "blip-2"
    assert Work.of(model, 56) is None


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
