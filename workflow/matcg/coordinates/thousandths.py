"""Qwen2-VL's: whole thousandths of width and height between special tokens.

Range and rounding are those of `convert_to_qwen2vl_format` in QwenLM/Qwen3-VL,
qwen-vl-finetune/tools/process_bbox.ipynb (at 96588727, read 2026-11-30); the tokens are those of an
answer of the model in issue 9 of that repository, and of ms-swift's issue 2535 (read the same day).
Several boxes one after the other, each with its label, are as users report them there; Qwen says
nothing on that, nor on `none`: unverified.
"""

from matcg.coordinates import Coordinates


class Thousandths(Coordinates):
    """Whole thousandths; engines drop the special tokens from the text that they return."""

    box = "<|object_ref_start|>LABEL<|object_ref_end|><|box_start|>(X1,Y1),(X2,Y2)<|box_end|>"
    request = "Answer with label and box of each as LABEL(x1,y1),(x2,y2) in thousandths"
    whole = 1000


FORMAT = Thousandths()
