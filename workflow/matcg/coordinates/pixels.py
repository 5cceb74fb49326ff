"""Qwen2.5-VL's: whole pixels of the resized picture, as JSON with `bbox_2d` and `label`.

Pixels, JSON and that no special tokens are used: its authors in issues 733 and 1427 of
QwenLM/Qwen3-VL, and `convert_to_qwen25vl_format` in qwen-vl-finetune/tools/process_bbox.ipynb (at
96588727); the list of several with labels: evaluation/ODinW-13/README.md there (all read
2026-11-30). The notebook ends at the last pixel, edge - 1; here the far end is the edge, so that a
box can reach it. A square whose edge is a multiple of 28 and at least 56 is not resized. That an
empty answer is `none` is ours.
"""

import json

from matcg.coordinates import Coordinates


class Pixels(Coordinates):
    """A JSON list of boxes."""

    box = '{"bbox_2d": [X1, Y1, X2, Y2], "label": "LABEL"}'
    before, between, after = "[", ", ", "]"
    request = 'Answer in JSON with "bbox_2d" [x1, y1, x2, y2] in pixels and "label" of each'

    def said(self, label: str) -> str:
        """Return a label as it stands between the quotes of JSON."""
        return json.dumps(label, ensure_ascii=False)[1:-1]


FORMAT = Pixels()
