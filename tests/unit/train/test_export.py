"""A mix as a folder for other trainers: the text that is trained on, with its picture."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from data_makers import FAKE, found, sample
from matcg import coordinates, forms
from matcg.errors import DataError
from matcg.geometry import Square
from matcg.models.prompts import picture_of, view_of
from matcg.samples import Finding, Sample
from matcg.train.export import export, plain
from matcg.train.tasks import TrainingSample

BACKBONE = plain(FAKE.model_copy(update={"coordinates": "pixels"}))
LESION = Finding("lesion", (20.0, 10.0, 120.0, 60.0))


def wide() -> bytes:
    """Return a picture of the size that `found` says."""
    buffer = io.BytesIO()
    Image.new("RGB", (200, 100), (9, 99, 199)).save(buffer, "PNG")
    return buffer.getvalue()


def rows_of(tasks: list[TrainingSample], out: Path) -> list[dict[str, object]]:
    export(tasks, BACKBONE, out)
    lines = (out / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_each_sample_is_a_turn_of_two_with_its_picture_as_the_backbone_sees_it(
    tmp_path: Path,
) -> None:
    letters = [sample(n, label) for n, label in enumerate(("yes", "no", "yes"))]
    boxes = [found(7, LESION, image=wide()), found(8, image=wide())]
    samples: list[Sample] = [*letters, *boxes]
    tasks = [TrainingSample(each, forms.of(each).truth(each)) for each in samples]
    tasks[0] = TrainingSample(samples[0], 1)  # dealt another's answer
    rows = rows_of(tasks, tmp_path)
    told = []
    for row, task in zip(rows, tasks, strict=True):
        user, assistant = row["messages"]
        question = forms.of(task.sample).question(task.sample, view_of(BACKBONE))
        assert user == {"role": "user", "content": f"<image>{question}"}
        assert assistant["role"] == "assistant"
        told.append(assistant["content"])
        (name,) = row["images"]
        with Image.open(tmp_path / name) as picture:
            assert picture.tobytes() == picture_of(task.sample, BACKBONE).tobytes()
    assert told[:3] == ["B", "B", "A"]
    # In the square that the picture file is, not in the original's pixels.
    read, bad = coordinates.find("pixels").read(told[3], ["lesion", "mass"], 16)
    ((label, box),) = read
    assert (label, bad) == ("lesion", 0)
    seen = Square((200, 100), 16, "squash").box_seen(LESION.box)
    assert box == pytest.approx(seen, abs=0.5)
    # Two questions about one picture share its file.
    assert rows[3]["images"] == rows[4]["images"]
    assert len(list((tmp_path / "images").iterdir())) == 4


def test_the_description_names_just_what_the_rows_hold(tmp_path: Path) -> None:
    (row,) = rows_of([TrainingSample(sample(1), 0)], tmp_path)
    (described,) = json.loads((tmp_path / "dataset_info.json").read_text()).values()
    assert (tmp_path / described["file_name"]).is_file()
    assert {"id", *described["columns"].values()} == set(row)
    assert row["id"] == "s-1"
    tags = described["tags"]
    said = [turn[tags["role_tag"]] for turn in row[described["columns"]["messages"]]]
    assert said == [tags["user_tag"], tags["assistant_tag"]]
    assert all(set(turn) == {tags["role_tag"], tags["content_tag"]} for turn in row["messages"])


def test_a_text_with_a_picture_too_many_is_refused(tmp_path: Path) -> None:
    odd = sample(3, question="What is <image>?")
    with pytest.raises(DataError, match=r"s, sample s-3: its text must hold <image> 1 times"):
        rows_of([TrainingSample(odd, 0)], tmp_path)
