"""Fine-tunes with other tools on what `run_finetune.py cpu` wrote, in those tools' environments.

`python tests/benchmarks/finetune_peers.py TOOL FOLDER THREADS` prints one line of JSON. Imports
nothing of matcg. Each way is written as the tool's documentation has its users write it; where a
tool's default would be other work (see docs/benchmarks.md), the setting is said here with a reason.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune_steps import Steps, keep_to_cores, peak_mb

WINDOW = 25  # steps whose losses a logged one is the mean of


def main() -> None:
    """Train with the tool that is named and print what was seen."""
    tool, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    keep_to_cores(threads)
    import torch

    torch.set_num_threads(threads)
    told = json.loads((folder / "told.json").read_text())
    steps = Steps()
    losses = TOOLS[tool](folder, told)
    print(json.dumps(seen_by(steps, told["batch_size"], losses[0], losses[-1])))


def seen_by(steps: Steps, batch: int, first: float, last: float) -> dict[str, Any]:
    """Return what was seen of a training, the first loss and the mean of the last ones with it."""
    return {
        **steps.seen,
        "steps": steps.done,
        "rate": steps.measured * batch / steps.seconds,
        "cpu_rate": steps.measured * batch / steps.cpu_seconds,
        "peak_mb": peak_mb(),
        "first": first,
        "last": last,
    }


def by_trainer(folder: Path, told: dict[str, Any]) -> list[float]:
    """Train with transformers' own Trainer and a collator of a few lines."""
    from torch.utils.data import Dataset
    from transformers import AutoModelForImageTextToText, AutoProcessor, Trainer, TrainingArguments

    class Rows(Dataset):
        def __init__(self, rows: list[dict[str, str]]) -> None:
            self.rows = rows

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, place: int) -> dict[str, str]:
            return self.rows[place]

    processor = AutoProcessor.from_pretrained(told["weights"])
    processor.tokenizer.padding_side = "right"
    trainer = Trainer(
        model=AutoModelForImageTextToText.from_pretrained(told["weights"], dtype="float32"),
        args=TrainingArguments(**arguments(folder, told), remove_unused_columns=False),
        train_dataset=Rows(rows_of(folder)),
        data_collator=lambda rows: collate(processor, rows),
    )
    trainer.train()
    trainer.save_model()
    return losses_of(trainer.state.log_history)


def collate(processor: Any, rows: list[dict[str, str]]) -> dict[str, Any]:
    """Return a batch whose labels are each row's last token, the answer's letter."""
    import torch
    from PIL import Image

    batch = processor(
        text=[f"{row['prompt']} {row['letter']}" for row in rows],
        images=[[Image.open(row["image"]).convert("RGB")] for row in rows],
        padding=True,
        return_tensors="pt",
    )
    last = batch["attention_mask"].sum(dim=1) - 1
    each = torch.arange(len(last))
    batch["labels"] = torch.full_like(batch["input_ids"], -100)
    batch["labels"][each, last] = batch["input_ids"][each, last]
    return batch


def by_trl(folder: Path, told: dict[str, Any]) -> list[float]:
    """Train with TRL's SFTTrainer on prompts, completions and images; loss on completions."""
    from datasets import Dataset, Image
    from trl import SFTConfig, SFTTrainer

    rows = rows_of(folder)
    data = Dataset.from_dict(
        {
            "prompt": [row["prompt"] for row in rows],
            "completion": [f" {row['letter']}" for row in rows],
            "image": [row["image"] for row in rows],
        }
    ).cast_column("image", Image())
    trainer = SFTTrainer(
        model=told["weights"],
        # TRL's own defaults are bfloat16, gradient checkpointing and at most 1,024 tokens.
        args=SFTConfig(
            **arguments(folder, told), bf16=False, gradient_checkpointing=False, max_length=None
        ),
        train_dataset=data,
    )
    trainer.train()
    trainer.save_model()
    return losses_of(trainer.state.log_history)


def by_llamafactory(folder: Path, told: dict[str, Any]) -> list[float]:
    """Train with LLaMA-Factory's `sft` stage, in a template of the backbone's own prompt."""
    from llamafactory.data.formatter import StringFormatter
    from llamafactory.data.mm_plugin import get_mm_plugin
    from llamafactory.data.template import register_template
    from llamafactory.train.tuner import run_exp

    asked = "<image>\n{question}"
    register_template(
        name="backbone",
        format_user=StringFormatter(slots=[told["prompt"].replace(asked, "{{content}}")]),
        # Without the end of the turn, which the other ways do not train on either.
        format_assistant=StringFormatter(slots=["{{content}}"]),
        mm_plugin=get_mm_plugin(name="llava", image_token="<image>"),
    )
    write_for_llamafactory(folder, asked)
    settings = {
        **arguments(folder, told),
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": told["weights"],
        "finetuning_type": "full",
        # Its `full` freezes these two.
        "freeze_vision_tower": False,
        "freeze_multi_modal_projector": False,
        # On by default.
        "disable_gradient_checkpointing": True,
        "dataset_dir": str(folder),
        "dataset": "mix",
        "template": "backbone",
        "cutoff_len": 1024,
        "disable_shuffling": True,
        "overwrite_output_dir": True,
    }
    del settings["train_sampling_strategy"]  # its Trainer goes by `disable_shuffling`
    run_exp(settings)
    state = json.loads((folder / "out/trainer_state.json").read_text())
    return losses_of(state["log_history"])


def write_for_llamafactory(folder: Path, asked: str) -> None:
    """Write the rows in the form called alpaca, and the table of data sets."""
    rows = [
        {
            "instruction": asked.replace("{question}", row["question"]),
            "output": row["letter"],
            "images": [row["image"]],
        }
        for row in rows_of(folder)
    ]
    (folder / "alpaca.json").write_text(json.dumps(rows))
    columns = {"prompt": "instruction", "response": "output", "images": "images"}
    table = {"mix": {"file_name": "alpaca.json", "columns": columns}}
    (folder / "dataset_info.json").write_text(json.dumps(table))


def arguments(folder: Path, told: dict[str, Any]) -> dict[str, Any]:
    """Return what all three tools are told alike; the optimiser is each one's default AdamW.

    The rows hold all epochs, each in its order, so that all tools see the same batches.
    """
    return {
        "output_dir": str(folder / "out"),
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",
        "per_device_train_batch_size": told["batch_size"],
        "learning_rate": told["learning_rate"],
        "lr_scheduler_type": "cosine",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "seed": told["seed"],
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "dataloader_num_workers": told["workers"],
        "save_strategy": "no",
        "logging_steps": WINDOW,
        "logging_first_step": True,
        "disable_tqdm": True,
        "report_to": "none",
    }


def rows_of(folder: Path) -> list[dict[str, str]]:
    """Return all rows in the order in which they are trained on."""
    return [json.loads(line) for line in (folder / "order.jsonl").read_text().splitlines()]


def losses_of(history: list[dict[str, Any]]) -> list[float]:
    """Return the losses of a Trainer's log: the first step's, then means over a window."""
    return [float(row["loss"]) for row in history if "loss" in row]


TOOLS: dict[str, Callable[[Path, dict[str, Any]], list[float]]] = {
    "trainer": by_trainer,
    "trl": by_trl,
    "llamafactory": by_llamafactory,
}

if __name__ == "__main__":
    main()
