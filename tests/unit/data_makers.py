"""Small samples, pictures and release folders that the tests of the data steps share."""

import io
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from matcg import forms
from matcg.config.backbone import Backbone
from matcg.config.catalog import Preparation, Split, SubsetSpec
from matcg.data.mix_samples import MIX_SCHEMA
from matcg.forms.choice import FORM as CHOICE
from matcg.forms.choice import INSTRUCTION
from matcg.samples import Finding, Sample, labelled, write_samples

FAKE = Backbone(
    name="fake",
    weights="fake",
    image={"size": 16},
    prompt="<image>{question}\nSay:",
    turn_end="!\n",
    recipes={"full": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 1}},
)


def picture(number: int, form: str = "PNG") -> bytes:
    """Return a small image file; another number gives a picture that is unlike."""
    noise = random.Random(number)
    image = Image.new("RGB", (16, 16))
    image.putdata([tuple(noise.randbytes(3)) for _ in range(256)])
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def sample(number: int, label: str = "yes", subset: str = "s", **changes: Any) -> Sample:
    """Return sample `number` of a subset, with a picture and options of its own."""
    options = changes.pop("options", ("yes", "no"))
    fields: dict[str, Any] = {
        "sample_id": f"{subset}-{number}",
        "subset": subset,
        "image": picture(number),
        "fingerprint": f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" * 4,
        "origin": f"{number}.png",
        "question": "Well?",
        "options": options,
        "answer": options.index(label),
        "label": label,
        "dataset": "1",
    }
    return Sample(**{**fields, **changes})


def folder(
    root: Path, name: str, train: list[Sample], test: list[Sample] | None = None, digest: str = ""
) -> Path:
    """Write prepared data of a subset, which say their digest, and return the folder."""
    write_samples(root / name / "train.parquet", train, digest)
    write_samples(root / name / "test.parquet", test or [], digest)
    return root / name


def write_mix(path: Path, samples: list[Sample], shift: int = 0, digest: str = "") -> Path:
    """Write a mix of samples, choices trained on `shift` options further; return its path."""
    rows = []
    for position, sample in enumerate(samples):
        form = forms.of(sample)
        wrong = (sample.answer + shift) % len(sample.options)
        answer = wrong if form is CHOICE else form.packed(form.truth(sample))
        rows.append(
            {
                "position": position,
                "subset": sample.subset,
                "sample_id": sample.sample_id,
                form.answer.name: answer,
            }
        )
    label = {"digest": digest, "folders": {sample.subset: sample.subset for sample in samples}}
    answers = {form.answer.name: form.answer for form in map(forms.of, samples)}
    schema = labelled(pa.schema([*MIX_SCHEMA, *answers.values()]), label)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def row(number: int, **changes: Any) -> dict[str, Any]:
    """Return a good row of the release; a change to None takes the key away."""
    answer = ("cat", "dog")[number % 2]
    fields = {
        "id": number,
        "caption": answer,
        "image": f"med-mat/{number}.png",
        "Question": "What is it?",
        "Answer": answer,
        "Question-choice": f"What is it?\nA: cat\nB: dog\n{INSTRUCTION}",
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


def spec(name: str = "30", **changes: Any) -> SubsetSpec:
    """Return a subset's entry in a catalog."""
    return SubsetSpec(id=name, role="id", **changes)


def asked(
    subset: SubsetSpec | None = None, reader: str = "medmat", general: bool = False, **changes: Any
) -> Preparation:
    """Return how a small subset is prepared; `changes` are of the split, or `options`."""
    options = changes.pop("options", {})
    caps = {"train": 20, "test": 10, "test_fraction": 0.25, "seed": 42, **changes}
    # Not validated, since tests have readers of their own.
    return Preparation.model_construct(
        catalog="tiny",
        reader=reader,
        options=options,
        split=Split(**caps),
        near_duplicates=24,
        subset=subset or spec(),
        general=general,
    )


def found(
    number: int, *findings: Finding, size: tuple[int, int] = (200, 100), **changes: Any
) -> Sample:
    """Return sample `number` of a subset in whose picture things are to be found."""
    label = "+".join(sorted({each.label for each in findings})) or "none"
    made = sample(number, label, options=(label,), **{"form": "boxes", **changes})
    return replace(made, findings=findings, size=size, options=("lesion", "mass"))
