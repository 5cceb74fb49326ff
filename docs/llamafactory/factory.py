"""LLaMA-Factory's command line as a backbone's commands: `factory.py train|answer ...`.

Copy it, and say what else LLaMA-Factory is to be told in the YAML file beside it. Its command is
`llamafactory-cli` in the environment that LLAMAFACTORY names (a folder with `bin`), else the first
on the PATH.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
SETTINGS = HERE / "factory.yaml"
DESCRIPTION = "dataset_info.json"
# Epochs and the like under the names that transformers' Trainer gives them.
TOLD = {
    "learning_rate": "learning_rate",
    "epochs": "num_train_epochs",
    "batch_size": "per_device_train_batch_size",
    "warmup": "warmup_ratio",
    "schedule": "lr_scheduler_type",
    "weight_decay": "weight_decay",
}


def train(weights: Path, data: Path, out: Path) -> None:
    """Fine-tune on what `export_mixes` writes, by the recipe and the seed beside it."""
    settings = json.loads((data / "settings.json").read_text(encoding="utf-8"))
    recipe = {there: settings["recipe"][here] for here, there in TOLD.items()}
    told = {"do_train": "true", "finetuning_type": settings["recipe"]["method"], **recipe}
    factory(weights, data, out, **told, seed=settings["seed"], dataset="mix")


def answer(weights: Path, questions: Path, out: Path) -> None:
    """Write what is said to each question; LLaMA-Factory's predictions are in their order."""
    rows = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    with TemporaryDirectory() as name:
        folder, said = Path(name), Path(name, "out")
        # It drops rows without an answer: this one is not looked at.
        turns = [[*row["messages"], {"role": "assistant", "content": "-"}] for row in rows]
        asked = [{"messages": m, "images": r["images"]} for m, r in zip(turns, rows, strict=True)]
        (folder / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
        tags = {"role_tag": "role", "content_tag": "content"}
        tags |= {"user_tag": "user", "assistant_tag": "assistant"}
        described = {"file_name": "asked.json", "formatting": "sharegpt", "tags": tags}
        described["columns"] = {"messages": "messages", "images": "images"}
        (folder / DESCRIPTION).write_text(json.dumps({"asked": described}), encoding="utf-8")
        told = {"do_predict": "true", "predict_with_generate": "true", "do_sample": "false"}
        told |= {"eval_dataset": "asked", "media_dir": questions.parent}
        factory(weights, folder, said, **told)
        lines = (said / "generated_predictions.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["predict"] for line in lines]
    pairs = zip(rows, texts, strict=True)
    found = [json.dumps({"id": row["id"], "text": text}) + "\n" for row, text in pairs]
    out.write_text("".join(found), encoding="utf-8")


def factory(weights: Path, data: Path, out: Path, **told: object) -> None:
    """Run LLaMA-Factory on a folder of data, told so much besides the file."""
    command = "llamafactory-cli"
    if folder := os.environ.get("LLAMAFACTORY"):
        command = str(Path(folder, "bin", command))
    told |= {"model_name_or_path": weights, "dataset_dir": data, "output_dir": out}
    words = [f"{key}={value}" for key, value in told.items()]
    subprocess.run([command, "train", str(SETTINGS), *words], check=True)


if __name__ == "__main__":
    {"train": train, "answer": answer}[sys.argv[1]](*map(Path, sys.argv[2:]))
