"""Small samples, pictures and release folders that the tests of the data steps share."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image

from matcg.images import pixel_digest
from matcg.samples import Sample, write_samples


def picture(number: int, form: str = "PNG") -> bytes:
    """Return a small image file; another number gives other pixels."""
    image = Image.new("RGB", (8, 8))
    image.putdata([((number * 7 + i) % 256, number % 256, i * i % 251) for i in range(64)])
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def sample(number: int, label: str = "yes", subset: str = "s", **changes: Any) -> Sample:
    """Return sample `number` of a subset, with a picture and options of its own."""
    options = changes.pop("options", ("yes", "no"))
    data = picture(number)
    fields: dict[str, Any] = {
        "sample_id": f"{subset}-{number}",
        "subset": subset,
        "image": data,
        "digest": pixel_digest(Image.open(io.BytesIO(data))) + str(number),
        "origin": f"{number}.png",
        "question": "Well?",
        "options": options,
        "answer": options.index(label),
        "label": label,
        "dataset": "1",
    }
    return Sample(**{**fields, **changes})


def folder(root: Path, subset: str, train: list[Sample], test: list[Sample] | None = None) -> Path:
    """Write prepared data of a subset and return its folder."""
    write_samples(root / subset / "train.parquet", train)
    write_samples(root / subset / "test.parquet", test or [])
    return root / subset


def row(number: int, **changes: Any) -> dict[str, Any]:
    """Return a good row of the release; a change to None takes the key away."""
    answer = ("cat", "dog")[number % 2]
    fields = {
        "id": number,
        "caption": answer,
        "image": f"med-mat/{number}.png",
        "Question": "What is it?",
        "Answer": answer,
        "Question-choice": "What is it?\nA: cat\nB: dog\nAnswer with the letter.",
        "Answer-choice": "AB"[number % 2],
        "data-no": "5",
        **changes,
    }
    return {key: value for key, value in fields.items() if value is not None}


def release(root: Path, rows: list[Any], name: str = "Subset--30-train.json") -> Path:
    """Write a release of one subset with pictures 0 to 39, and return its folder."""
    (root / "med-mat").mkdir(parents=True, exist_ok=True)
    for number in range(40):
        (root / "med-mat" / f"{number}.png").write_bytes(picture(number))
    (root / "Aggregated_Subsets").mkdir(exist_ok=True)
    (root / "Aggregated_Subsets" / name).write_text(json.dumps(rows))
    return root


def spec(name: str = "30", **changes: Any) -> Any:
    """Return what the data steps use of a subset's entry in a catalog."""
    return SimpleNamespace(
        **{"id": name, "kind": "classification", "role": "id", "options": {}, **changes}
    )


def catalog(reader: str = "medmat", **split: Any) -> Any:
    """Return what the data steps use of a catalog."""
    caps = {"train": 20, "test": 10, "test_fraction": 0.25, "seed": 42, **split}
    return SimpleNamespace(name="tiny", reader=reader, options={}, split=SimpleNamespace(**caps))
