"""Questions as `messages` with picture files beside them, as trainers outside this library read.

LLaMA-Factory (data/README.md, section on sharegpt's OpenAI form and on images) and ms-swift
(docs, Custom-dataset, section Multimodal), both read 2026-11-30, take JSON lines of this form: an
`<image>` in the text for each path in `images`.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from matcg.errors import DataError
from matcg.images import pixel_digest

IMAGE = "<image>"  # stands in the text where a picture goes
IMAGES = "images"  # the folder of pictures


def question_row(
    name: str, prompt: str, pictures: Sequence[Image.Image], folder: Path
) -> dict[str, Any]:
    """Return a question as a row; its pictures are written below `folder`, each once.

    Raises:
        DataError: the text does not hold `<image>` once a picture; `name` says which it is.
    """
    if prompt.count(IMAGE) != len(pictures):
        raise DataError(
            f"{name}: its text must hold {IMAGE} {len(pictures)} times, once a picture, and holds"
            f" it {prompt.count(IMAGE)} times; change `prompt` in the backbone's file, or the text"
        )
    paths = [f"{IMAGES}/{pixel_digest(picture)[:32]}.png" for picture in pictures]
    for path, picture in zip(paths, pictures, strict=True):
        file = folder / path
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.save(file)
    return {"messages": [{"role": "user", "content": prompt}], "images": paths}


def write_rows(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as JSON lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
