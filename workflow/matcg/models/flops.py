"""Arithmetic of a training step, and what a GPU could do at most: their ratio is the MFU.

MFU is model FLOPs utilisation: what the model asks for, over what the device could have done in
that time. So padding and what gradient checkpointing computes again are not counted.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from matcg.models import families
from matcg.models.families import Seen

PRODUCTS = (nn.Linear, nn.Conv2d, nn.Conv3d)
ADAPTED = re.compile(r"\.(?:base_layer|lora_[AB]\.\w+)$")
# Layers that stand beside each other and read the same states, not one another's.
BESIDE = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "up", "up_proj": "up"}
MIXED = re.compile(r"attn\.(?:o_proj|out_proj|proj)$")
LAYER = re.compile(r"\b(?:layers|blocks)\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Work:
    """FLOPs of a model's forward and backward pass, a multiplication with its addition being two.

    A trained matrix costs three times its forward pass, a frozen one through which a gradient flows
    twice, and one below which nothing is trained once; LoRA's two small ones are counted as such.
    Attention is counted over all pairs of positions, as is usual, though half are masked.
    Normalisation, activations, rotations and the optimiser are left out, as are layers and tiles
    that no answer depends on. Logits are made where answers are said alone.

    Attributes:
        picture: of a picture, in tower and projector and where its states are read.
        token: of a token in the language model.
        square: of a pair of tokens that attend to each other.
        cross: of a token and a picture that it attends to (mllama).
        logits: of the logits at one position.
    """

    picture: float
    token: float
    square: float
    cross: float
    logits: float

    @classmethod
    def of(cls, model: nn.Module, edge: int) -> "Work | None":
        """Return what a model with its present trainable parameters takes.

        `edge` is the side of its square pictures in pixels (`image.size` of the backbone). None
        for a class that is not known here, of which nothing is guessed.
        """
        whole: Any = model
        base = whole.get_base_model() if hasattr(whole, "get_base_model") else whole
        family = families.find(base.config.model_type)
        seen = family.seen(base, edge) if family and family.seen else None
        if seen is None:
            return None
        text = base.model.language_model
        picture, flows = _seeing(seen)
        products = _products(text, flows and not seen.aside, flows if seen.aside else None)
        token, square, cross = 0.0, 0.0, 0.0
        for each in products:
            flows = each.flows
            if each.aside:
                picture += each.row * seen.states
                continue
            token += each.row
            if ".cross_attn." in each.site:
                cross += each.pair * seen.states
            else:
                square += each.pair
        head = base.get_output_embeddings()
        return cls(picture, token, square, cross, _row(head.weight, flows))

    def flops(self, tokens: Sequence[int], pictures: int, answers: int = 0) -> float:
        """Return the FLOPs of samples of so many `tokens` each, image tokens included.

        `pictures` is the number of pictures in all of these samples, the same in each, `answers`
        that of all tokens in their answers; one each where it is not said.
        """
        total = sum(tokens)
        alone = self.picture * pictures + self.logits * (answers or len(tokens))
        read = self.cross * total * pictures / max(1, len(tokens))
        return alone + self.token * total + self.square * sum(n * n for n in tokens) + read


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product: where it stands, FLOPs of a row, of a pair of positions of its attention.

    `pair` is 0 but where attention ends, in its output projection. `aside` says that its rows are a
    picture's states in the midst of a text model, `flows` that a gradient comes back to its output.
    """

    site: str
    row: float
    pair: float
    aside: bool
    flows: bool


def _products(root: nn.Module, flows: bool, aside: bool | None = None) -> Iterator[Product]:
    """Yield a module's matrix products in the order in which they are computed.

    `flows` says whether the gradient of what goes in is asked for, `aside` of what a text model
    reads on the side, where it does.
    """
    group, before = "", flows
    for name, module in root.named_modules():
        if not isinstance(module, PRODUCTS):
            # Norms and embeddings do little arithmetic, but a trained one asks for gradients.
            flows |= any(p.requires_grad for p in module.parameters(recurse=False))
            continue
        site = ADAPTED.sub("", name)
        stem, _, last = site.rpartition(".")
        key = f"{stem}.{BESIDE.get(last, last)}"
        if key != group:
            group, before = key, flows
        side = aside is not None and ".cross_attn." in site and last in ("k_proj", "v_proj")
        enters = bool(aside) if side else before
        # Pixels never have a gradient; what lora_A makes always has one.
        asked = ".lora_B." in name or (enters and isinstance(module, nn.Linear))
        flows |= module.weight.requires_grad or (side and bool(aside))
        mixes = MIXED.search(site) and ".lora_" not in name
        pair = 4.0 * module.weight.shape[1] * (3 if before else 1) if mixes else 0.0
        yield Product(site, _row(module.weight, asked), pair, side, flows)


def _row(weight: torch.Tensor, asked: bool) -> float:
    """Return the FLOPs of a row times `weight`; `asked` says that the row's gradient is, too."""
    return 2.0 * weight.numel() * (1 + asked + weight.requires_grad)


def _seeing(seen: Seen) -> tuple[float, bool]:
    """Return the FLOPs of tower and projectors, and whether their gradient is asked for."""
    flops, below = _tower(seen.tower, seen.patches, seen.rows, seen.pairs)
    flows = below
    for projector in seen.projectors:
        more, out = _projected(projector, seen.states, below)
        flops, flows = flops + more, flows or out
    return flops, flows


def _tower(root: nn.Module, patches: int, rows: int, pairs: Sequence[int]) -> tuple[float, bool]:
    """Return a tower's FLOPs for a picture, and whether its states' gradient is asked for.

    `patches` are embedded, `rows` states go through the layers, and `pairs` of them attend to each
    other in each layer; layers beyond those named there are not read.
    """
    flops, flows = 0.0, False
    for each in _products(root, False):
        layer = LAYER.search(each.site)
        if layer is None and "patch_embed" in each.site:
            flops += each.row * patches
        elif layer and int(layer[1]) < len(pairs):
            flops += each.row * rows + each.pair * pairs[int(layer[1])]
        else:  # a head, or a layer after the one that is read
            continue
        flows = each.flows
    return flops, flows


def _projected(root: nn.Module, rows: int, flows: bool) -> tuple[float, bool]:
    """Return a projector's FLOPs for a picture of so many rows, and whether gradients come back."""
    flops = 0.0
    for each in _products(root, flows):
        flops += each.row * rows
        flows = each.flows
    return flops, flows


@dataclass(frozen=True, slots=True)
class Peak:
    """Dense peaks of a GPU in TFLOPS: bfloat16 or float16 with sums in float32, tf32, float32.

    None where it has no such units. `source` is the NVIDIA document that prints them; where it
    prints a figure for sparse matrices alone, half of that is taken.
    """

    name: str
    half: float
    tf32: float | None
    single: float
    source: str
    brain: bool = True  # whether it multiplies bfloat16


VOLTA, TURING = "V100 data sheet (2020)", "T4 data sheet (2019)"
AMPERE, HOPPER = "A100 data sheet (2021)", "H100 data sheet (2024)"
GRAPHICS = "Ampere GA102 architecture white paper, version 2.0"
ADA = "Ada GPU architecture white paper, version 2.01"
# Names as CUDA gives them. A name must match whole: a MIG slice, a laptop's chip or a variant for
# another market ends otherwise and has another peak.
PEAKS = (
    Peak(r"Tesla V100-SXM[23]-\d+GB(-LS)?", 125, None, 15.7, VOLTA, brain=False),
    Peak(r"Tesla V100-PCIE-\d+GB", 112, None, 14, VOLTA, brain=False),
    Peak(r"Tesla V100S-PCIE-\d+GB", 130, None, 16.4, VOLTA, brain=False),
    Peak(r"Tesla T4", 65, None, 8.1, TURING, brain=False),
    Peak(r"(NVIDIA )?A100-(SXM4|PCIE)-\d+GB|NVIDIA A100 80GB PCIe", 312, 156, 19.5, AMPERE),
    Peak(r"NVIDIA A10", 125, 62.5, 31.2, "A10 data sheet (2021)"),
    Peak(r"NVIDIA A40", 149.7, 74.8, 37.4, "A40 data sheet (2021)"),
    Peak(r"NVIDIA RTX A6000", 154.8, 77.4, 38.7, GRAPHICS),
    Peak(r"NVIDIA GeForce RTX 3090", 71, 35.6, 35.6, GRAPHICS),
    Peak(r"NVIDIA L4", 121, 60, 30.3, "L4 data sheet (2023)"),
    Peak(r"NVIDIA L40", 181.05, 90.5, 90.5, "L40 data sheet (2023)"),
    Peak(r"NVIDIA L40S", 362.05, 183, 91.6, "L40S data sheet (2023)"),
    Peak(r"NVIDIA GeForce RTX 4090", 165.2, 82.6, 82.6, ADA),
    Peak(r"NVIDIA RTX 6000 Ada Generation", 364.25, 182.1, 91.1, "RTX 6000 Ada data sheet (2023)"),
    Peak(r"NVIDIA H100 80GB HBM3", 989.5, 494.5, 67, HOPPER),
    Peak(r"NVIDIA H100 PCIe", 756.5, 378, 51, "H100 data sheet (2022)"),
    Peak(r"NVIDIA H100 NVL", 835.5, 417.5, 60, HOPPER),
    Peak(r"NVIDIA GH200 \d+GB", 989.5, 494.5, 67, "GH200 data sheet (2023)"),
    Peak(r"NVIDIA H200", 989.5, 494.5, 67, "H200 data sheet (2024)"),
    Peak(r"NVIDIA H200 NVL", 835.5, 417.5, 60, "H200 data sheet (2024)"),
    Peak(r"NVIDIA B200", 2250, 1100, 75, "HGX data sheet (2025), a GPU of HGX B200"),
    Peak(r"NVIDIA GB200", 2500, 1250, 80, "GB200 NVL72 data sheet (2024), one of its GPUs"),
)


def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """Return what a device does at most, in FLOPs a second, in matrix products of this type.

    float32 counts as tf32 where PyTorch is allowed to use it. None for a CPU, for a GPU that is not
    in `PEAKS` and for a type that it has no units for.
    """
    if device.type != "cuda" or torch.version.hip:
        return None
    tf32 = torch.backends.cuda.matmul.allow_tf32
    return peak_of(torch.cuda.get_device_name(device), dtype, tf32)


def peak_of(name: str, dtype: torch.dtype, tf32: bool = False) -> float | None:
    """Return the same for a GPU by its name; `tf32` says that float32 may be rounded to tf32."""
    peak = next((each for each in PEAKS if re.fullmatch(each.name, name)), None)
    if peak is None:
        return None
    known = {
        torch.float16: peak.half,
        torch.bfloat16: peak.half if peak.brain else None,
        torch.float32: (peak.tf32 if tf32 else None) or peak.single,
    }
    found = known.get(dtype)
    return None if found is None else 1e12 * found
