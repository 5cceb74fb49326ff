"""A mix as a folder that LLaMA-Factory and ms-swift load: questions, answers and pictures.

Answers are in the backbone's own words, places as text among them, and pictures as it sees them:
squares, in which its coordinates hold.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from matcg import forms
from matcg.config.backbone import Backbone
from matcg.models.messages import question_row, write_rows
from matcg.models.prompts import picture_of, prompt_of, view_of
from matcg.train.tasks import TrainingSample

PLAIN = "<image>{question}"  # the prompt of who has a chat template of its own
ROWS = "messages.jsonl"
# What LLaMA-Factory is told of the file, in the file of the name that it looks for.
DESCRIPTION = "dataset_info.json"
DESCRIBED = {
    "mix": {
        "file_name": ROWS,
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
        },
    }
}


def export(tasks: Iterable[TrainingSample], backbone: Backbone, out: Path) -> None:
    """Write what a backbone is trained on to a folder, in the mix's order.

    Raises:
        DataError: a picture cannot be decoded, or a question's text has another number of
            `<image>` than pictures.
    """
    write_rows(out / ROWS, _rows(tasks, backbone, out))
    (out / DESCRIPTION).write_text(json.dumps(DESCRIBED, indent=2) + "\n", encoding="utf-8")


def plain(backbone: Backbone) -> Backbone:
    """Return the backbone with nothing but picture and question in its prompt."""
    return backbone.model_copy(update={"prompt": PLAIN})


def _rows(
    tasks: Iterable[TrainingSample], backbone: Backbone, out: Path
) -> Iterator[dict[str, Any]]:
    for task in tasks:
        sample = task.sample
        name = f"{sample.subset}, sample {sample.sample_id}"
        prompt, picture = prompt_of(sample, backbone), picture_of(sample, backbone)
        row = {"id": sample.sample_id, **question_row(name, prompt, [picture], out)}
        told = forms.of(sample).told(sample, task.answer, view_of(backbone))
        row["messages"].append({"role": "assistant", "content": told})
        yield row
