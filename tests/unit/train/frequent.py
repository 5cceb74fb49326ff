"""The smallest model with commands of its own: to a question it says what was most often right.

`frequent.py train DATA OUT` and `frequent.py answer WEIGHTS QUESTIONS OUT`.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path


def rows(file: Path):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def train(data: Path, out: Path) -> None:
    """Count the answers to each question, in as many epochs as the recipe says."""
    settings = json.loads((data / "settings.json").read_text())
    counts = defaultdict(Counter)
    for row in rows(data / "messages.jsonl") * settings["recipe"]["epochs"]:
        question, answer = (turn["content"] for turn in row["messages"])
        assert all((data / image).is_file() for image in row["images"])
        counts[question][answer] += 1
    (out / "counts.json").write_text(json.dumps(counts, sort_keys=True))


def answer(weights: Path, questions: Path, out: Path) -> None:
    """Answer each question, one that is not known with nothing."""
    file = weights / "counts.json"
    counts = json.loads(file.read_text()) if file.exists() else {}
    said = []
    for row in rows(questions):
        known = counts.get(row["messages"][0]["content"], {"": 1})
        said.append({"id": row["id"], "text": max(known, key=known.get)})
    out.write_text("".join(json.dumps(each) + "\n" for each in said), encoding="utf-8")


if __name__ == "__main__":
    {"train": train, "answer": answer}[sys.argv[1]](*map(Path, sys.argv[2:]))
