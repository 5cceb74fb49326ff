"""Compares what a model is said to take of memory with the profiler's peak of tensor bytes.

`python tests/benchmarks/run_fits.py [--case llava-1.5-7b ...] [--micro 2]`

The shipped backbones at 200 million parameters and more, of random weights: trained (full and LoRA,
with and without gradient checkpointing) and asked through transformers, on a CPU, in bfloat16.
What large tensors give is allotted and not computed (`tests/unit/tensor_peaks.py`). Each case is a
process of its own. Prints a Markdown table in megabytes.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "tests/unit")]

WHAT = ("full", "full again", "lora", "lora again", "answer")
CASES = (
    "llava-1.5-7b",
    "huatuogpt-vision-7b",
    "qwen2-vl-7b",
    "qwen2.5-vl-7b",
    "qwen3-vl-8b",
    "llama-3.2-11b-vision",
)
TEXT = 100  # tokens beside the picture's
# In place of the published sizes.
WORDS = {
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 14,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "vocab_size": 16000,
    "cross_attention_layers": [3, 8],
}
VISION = {
    "hidden_size": 512,
    "embed_dim": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 10,
    "depth": 10,
    "num_global_layers": 2,
    "num_attention_heads": 8,
    "attention_heads": 8,
    "num_heads": 8,
    "out_hidden_size": 1024,
    "vision_output_dim": 6 * 512,
    "deepstack_visual_indexes": [3, 5, 7],
    "intermediate_layers_indices": [1, 2, 3, 5, 7],
}


# Rotary dimensions of time, height and width, half a head together, in the default's proportion.
ROTARY = {
    "qwen2_vl": [8, 12, 12],
    "qwen2_5_vl": [8, 12, 12],
    "qwen3_vl": [12, 10, 10],
}


def smaller(architecture: str, shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return a published shape at the sizes above."""
    vision = VISION
    if "embed_dim" in shape["vision_config"]:  # there the other is the text model's
        vision = VISION | {"hidden_size": 1024}
    parts = {"text_config": WORDS, "vision_config": vision}
    small = {
        part: {key: sizes.get(key, value) for key, value in shape[part].items()}
        for part, sizes in parts.items()
    }
    if sections := ROTARY.get(architecture):
        rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": sections}
        small["text_config"]["rope_parameters"] = rope
    return small


def main() -> None:
    """Run all cases, or the one that a process of this script is for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs="*", default=list(CASES))
    parser.add_argument("--micro", type=int, default=2)
    parser.add_argument("--what", nargs="*", default=WHAT)
    parser.add_argument("--one")
    told = parser.parse_args()
    if told.one:
        print(row(told.case[0], told.one, told.micro))
        return
    print("| shape of | parameters (10^6) | what | profiler (MB) | arithmetic (MB) | off by |")
    print("|---|---|---|---|---|---|", flush=True)
    for case in told.case:
        for one in tuple(told.what):
            call = [sys.executable, __file__, "--case", case, "--one", one]
            done = subprocess.run(
                [*call, "--micro", str(told.micro)], check=False, capture_output=True, text=True
            )
            last = done.stdout.strip().splitlines()[-1:] or [done.stderr[-600:]]
            print(last[0], flush=True)


def row(case: str, one: str, micro: int) -> str:
    """Return a row of the table; `again`: with gradient checkpointing."""
    import tensor_peaks
    from matcg.config.library import load
    from matcg.models import fits

    shipped = load("backbone", ROOT / f"backbones/{case}.yaml")
    resources = {"gradient_checkpointing": "again" in one}
    full = shipped.recipes["full"]
    lora = {"method": "lora", "rank": 32, "trains": ("llm", "projector")}
    backbone = shipped.model_copy(
        update={
            "shape": smaller(shipped.architecture or "", shipped.shape or {}),
            "resources": shipped.resources.model_copy(update=resources),
        }
    )
    sizes = fits.shape_of(backbone, TEXT)
    assert sizes is not None
    if one == "answer":
        found = tensor_peaks.answering(backbone, micro, TEXT)
        said = fits.answering(sizes, backbone.dtype, micro)
    else:
        recipe = full.model_copy(update=lora) if "lora" in one else full
        found = tensor_peaks.training(backbone, recipe, micro, TEXT)
        said = fits.training(sizes, recipe, backbone.dtype, micro, "again" in one)
    count = sum(sizes.parameters.values()) / 1e6
    what = one.replace("again", "with checkpointing")
    off = f"{100 * (said.tensors / found - 1):+.1f} %"
    cells = (case, f"{count:.0f}", what, f"{found / 1e6:.0f}", f"{said.tensors / 1e6:.0f}", off)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
