"""Qwen3-VL's: whole thousandths of width and height, as JSON with `bbox_2d` and `label`.

Thousandths in place of Qwen2.5-VL's pixels, with the rounding of Qwen2-VL's: its authors in issues
1427 and 1486 of QwenLM/Qwen3-VL; the JSON: evaluation/ODinW-13/README.md there (at 96588727), and
ms-swift's pull request 6178 after the cookbook 2d_grounding (all read 2026-11-30). That an empty
answer is `none` is ours.
"""

from matcg.coordinates.pixels import Pixels


class ThousandthsJson(Pixels):
    """A JSON list of boxes in whole thousandths."""

    request = 'Answer in JSON with "bbox_2d" [x1, y1, x2, y2] from 0 to 1000 and "label" of each'
    whole = 1000


FORMAT = ThousandthsJson()
