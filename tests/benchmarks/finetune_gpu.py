"""Fine-tuning of a large model's shape with random weights; `run_finetune.py gpu` calls this.

Each case is a process of its own: `finetune_gpu.py FOLDER CASE` with a case as JSON, which prints a
line of JSON. Weights, pictures and questions are made up in a temporary folder, nothing is loaded
from outside. Both ways train the same parameters on the same samples at the same batch size.
"""

import argparse
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finetune_steps import Enough, Steps, keep_to_cores, peak_mb

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WAYS = ("ours", "trainer")
# Dense bfloat16 of an H100 or H200 (SXM), in operations a second: half of what NVIDIA's data sheets
# print, which count on sparsity.
PEAK = 989e12
PATCH = 14
KINDS = ("pad", "bos", "eos")
QUESTION = "Which of these findings does the picture of the {} show, as far as can be told from it?"
OPTIONS = ("no finding at all", "a small nodule", "an effusion on one side", "a fracture")


@dataclass(frozen=True)
class Case:
    """What one process trains."""

    way: str
    method: str
    micro: int
    checkpointing: bool


def measure(told: argparse.Namespace) -> None:
    """Print a row for each case, as long as the time that was given lasts."""
    until = time.monotonic() + told.seconds
    with tempfile.TemporaryDirectory(dir=told.scratch) as name:
        settings = {
            key: getattr(told, key)
            for key in ("shape", "device", "dtype", "batch", "warm", "steps", "threads", "workers")
        }
        Path(name, "told.json").write_text(json.dumps(settings))
        if error := called(["make", name], until).get("error"):
            sys.exit(f"weights and samples could not be made: {error}")
        print(head(), flush=True)
        slowest = 0.0
        for case in cases(told):
            began = time.monotonic()
            if until - began < slowest:
                print(f"| {' | '.join(cells_of(case))} | not run: no time left |", flush=True)
                continue
            found = called([name, json.dumps(asdict(case))], until)
            slowest = max(slowest, time.monotonic() - began)
            print(row(case, found, told), flush=True)


def cases(told: argparse.Namespace) -> Iterator[Case]:
    """Yield the cases, both ways of each side by side."""
    ways = itertools.product(told.methods, told.checkpointing, told.micro)
    for (method, kept, micro), way in itertools.product(ways, WAYS):
        yield Case(way, method, micro, kept == "on")


def called(words: list[str], until: float) -> dict[str, Any]:
    """Return what a process of this file says, or the error it ended with."""
    paths = os.pathsep.join([str(ROOT / "workflow"), str(HERE)])
    surroundings = {
        **os.environ,
        "PYTHONPATH": paths,
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0],
    }
    try:
        done = subprocess.run(
            [sys.executable, __file__, *words],
            env=surroundings,
            capture_output=True,
            text=True,
            timeout=max(1.0, until - time.monotonic()),
        )
    except subprocess.TimeoutExpired:
        return {"error": "stopped: no time left"}
    if done.returncode:
        # Out of memory, for one: the other cases still tell something.
        print(f"{' '.join(words)}:\n{done.stderr[-4000:]}", file=sys.stderr)
        last = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        return {"error": last[:200].replace("|", "/")}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def head() -> str:
    """Return the table's head."""
    names = ("way", "method", "micro-batch", "checkpointing", "samples/s", "tokens/s", "MFU")
    names += ("peak memory (GB)", "first loss", "trained parameters", "optimiser")
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def cells_of(case: Case) -> list[str]:
    """Return the cells that say what a case is."""
    return [case.way, case.method, str(case.micro), "on" if case.checkpointing else "off"]


def row(case: Case, found: dict[str, Any], told: argparse.Namespace) -> str:
    """Return a case's row."""
    if "error" in found:
        return f"| {' | '.join(cells_of(case))} | {found['error']} |"
    rate = found["samples"] / found["seconds"]
    used = "" if told.device == "cpu" else f"{rate * found['operations'] / told.peak:.1%}"
    cells = [
        *cells_of(case),
        f"{rate:.2f}",
        f"{rate * found['tokens']:.0f}",
        used,
        f"{found['peak_mb'] / 1024:.2f}",
        f"{found['first']:.4f}",
        str(found["parameters"]),
        found["optimiser"],
    ]
    return f"| {' | '.join(cells)} |"


# --- What is trained, and on what ----------------------------------------------------------------


def make(folder: Path) -> None:
    """Write backbone, samples and mix."""
    from matcg.config.library import load
    from matcg.data.mix_samples import make_mix
    from matcg.plan.mixes import planned_mix
    from matcg.samples import write_samples

    told = read(folder / "told.json")
    base = load("backbone", ROOT / "backbones/llava-1.5-7b.yaml")
    backbone = SHAPES[told["shape"]](base, folder / "weights", told["device"])
    backbone = backbone.model_copy(update={"dtype": told["dtype"]})
    (folder / "backbone.json").write_text(backbone.model_dump_json())
    n = told["batch"] * (told["warm"] + told["steps"])
    write_samples(folder / "data/made-up/train.parquet", samples(n, backbone.image.size))
    mix = planned_mix("made-up", {"made-up": n}, 0)
    make_mix(mix, {"made-up": folder / "data/made-up"}, (), n, folder / "mix.parquet")
    told |= counted(folder, backbone)
    (folder / "told.json").write_text(json.dumps(told))


def tiny(base: Any, out: Path, device: str) -> Any:  # noqa: ARG001
    """Return the backbone's tiny sibling, on which the code can be tried anywhere."""
    from matcg.tiny.siblings import make_sibling

    return make_sibling(base, out)


def seven(base: Any, out: Path, device: str) -> Any:
    """Return the backbone with random weights of its real shape, 14 GB in bfloat16."""
    import torch
    from transformers import AutoModelForImageTextToText

    from matcg.models.families import siblings
    from matcg.tiny.siblings import tokenizer_of

    tokenizer = tokenizer_of(siblings()["llava/llama"])
    torch.manual_seed(0)
    config = config_of_seven(tokenizer, base.image.size)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(out)
    processor_of_seven(tokenizer, base.image.size).save_pretrained(out)
    return base.model_copy(update={"weights": str(out), "revision": None, "_digest": ""})


def config_of_seven(tokenizer: Any, edge: int) -> Any:
    """Return the sizes in config.json of llava-hf/llava-1.5-7b-hf, with a tokeniser's numbers."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=edge,
        patch_size=PATCH,
        projection_dim=768,
    )
    text = LlamaConfig(
        vocab_size=32064,
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        max_position_embeddings=4096,
        rms_norm_eps=1e-5,
        **{f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in KINDS},
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(edge // PATCH) ** 2,
    )


def processor_of_seven(tokenizer: Any, edge: int) -> Any:
    """Return a processor that resizes and crops to the tower's square, as the published one."""
    from transformers import CLIPImageProcessor, LlavaProcessor

    pixels = CLIPImageProcessor(
        size={"shortest_edge": edge}, crop_size={"height": edge, "width": edge}
    )
    return LlavaProcessor(
        image_processor=pixels,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
    )


SHAPES = {"tiny": tiny, "7b": seven}


def samples(n: int, edge: int) -> Iterator[Any]:
    """Yield samples with smooth random pictures, each another, as PNG."""
    import numpy as np
    from PIL import Image

    from matcg.samples import Sample

    rng = np.random.default_rng(0)
    for number in range(n):
        coarse = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(coarse).resize((edge, edge), Image.Resampling.BICUBIC).save(stream, "PNG")
        answer = number % len(OPTIONS)
        yield Sample(
            sample_id=f"made-up/{number:05d}",
            subset="made-up",
            image=stream.getvalue(),
            fingerprint="",
            origin="",
            question=QUESTION.format(("left lung", "knee", "right eye")[number % 3]),
            options=OPTIONS,
            answer=answer,
            label=OPTIONS[answer],
            dataset="made-up",
        )


def counted(folder: Path, backbone: Any) -> dict[str, Any]:
    """Return the mean tokens of a sample, image tokens included, and operations by method."""
    from transformers import AutoProcessor

    from matcg.models.prompts import begins_itself, picture_of, prompt_of
    from matcg.samples import read_samples

    processor = AutoProcessor.from_pretrained(backbone.weights)
    lengths = []
    for sample in read_samples(folder / "data/made-up/train.parquet")[:12]:
        ids = processor(
            text=[prompt_of(sample, backbone)],
            images=[[picture_of(sample, backbone)]],
            add_special_tokens=not begins_itself(processor.tokenizer, backbone),
        )["input_ids"][0]
        lengths.append(len(ids))
    tokens = statistics.fmean(lengths)
    methods = {
        name: operations(backbone, recipe, tokens) for name, recipe in backbone.recipes.items()
    }
    return {"tokens": tokens, "operations": methods}


def operations(backbone: Any, recipe: Any, tokens: float) -> float:
    """Return the operations that training on one sample takes (`matcg.models.flops`)."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    from matcg.models.flops import Work
    from matcg.models.loading import choose_parameters

    with torch.device("meta"):
        config = AutoConfig.from_pretrained(backbone.weights)
        model = choose_parameters(AutoModelForImageTextToText.from_config(config), recipe)
    work = Work.of(model, backbone.image.size)
    return work.flops([round(tokens)], 1) if work else float("nan")


def read(path: Path) -> dict[str, Any]:
    """Return a JSON file's mapping."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


# --- The two ways --------------------------------------------------------------------------------


def train(folder: Path, case: Case) -> dict[str, Any]:
    """Train one case in this process, and return what was seen."""
    import torch

    told = read(folder / "told.json")
    on_gpu = told["device"] == "cuda"
    if not on_gpu:
        keep_to_cores(told["threads"])
    torch.set_num_threads(told["threads"])
    steps = Steps(
        told["warm"],
        told["warm"] + told["steps"],
        torch.cuda.reset_peak_memory_stats if on_gpu else lambda: None,
        torch.cuda.synchronize if on_gpu else lambda: None,
    )
    try:
        first = {"ours": ours, "trainer": trainer}[case.way](folder, case, told)
    except Exception as error:
        if not ("out of memory" in str(error) or isinstance(error, torch.OutOfMemoryError)):
            raise
        return {"error": "out of memory"}
    return {
        **steps.seen,
        "first": first,
        "seconds": steps.seconds,
        "samples": steps.measured * told["batch"],
        "tokens": told["tokens"],
        "operations": told["operations"][case.method],
        "peak_mb": torch.cuda.max_memory_allocated() / 2**20 if on_gpu else peak_mb(),
    }


def planned_for(folder: Path, case: Case, told: dict[str, Any]) -> tuple[Any, Any]:
    """Return backbone and recipe of a case; the recipe is the backbone's own but for the batch."""
    from matcg.config.backbone import Backbone, Resources

    backbone = Backbone.model_validate_json((folder / "backbone.json").read_text())
    resources = Resources(
        gpu=int(told["device"] == "cuda"),
        threads=told["threads"],
        micro_batch=case.micro,
        **({"gradient_checkpointing": True} if case.checkpointing else {}),
    )
    recipe = backbone.recipes[case.method]
    changes: dict[str, Any] = {"batch_size": told["batch"], "epochs": 1, "warmup": 0.0}
    if case.method == "lora" and told["shape"] == "tiny":
        changes |= {"rank": 8, "alpha": 16}
    return (backbone.model_copy(update={"resources": resources}), recipe.model_copy(update=changes))


def ours(folder: Path, case: Case, told: dict[str, Any]) -> float:
    """Train as the rule does until there have been enough steps; return the first loss."""
    from matcg.config.backbone import Resources
    from matcg.train.finetune import finetune

    if case.checkpointing and "gradient_checkpointing" not in Resources.model_fields:
        raise SystemExit("this version has no gradient checkpointing; say --checkpointing off")
    backbone, recipe = planned_for(folder, case, told)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        out, store = Path(name) / "out", Path(name) / "store"
        out.mkdir()
        data, mix, threads = folder / "data", folder / "mix.parquet", told["threads"]
        try:
            finetune(mix, data, backbone, recipe, 0, out, threads, store, None)
        except Enough:
            rows = (store / "metrics.jsonl").read_text().splitlines()
            return float(json.loads(rows[0])["loss"])
    raise RuntimeError("training ended before enough steps had been seen")


def trainer(folder: Path, case: Case, told: dict[str, Any]) -> float:
    """Train with transformers' Trainer in mixed precision; return the first loss."""
    from finetune_peers import collate
    from transformers import AutoProcessor, Trainer, TrainingArguments

    backbone, recipe = planned_for(folder, case, told)
    processor = AutoProcessor.from_pretrained(backbone.weights)
    processor.tokenizer.padding_side = "right"
    trainer = Trainer(
        model=model_for_trainer(backbone, recipe, told),
        args=TrainingArguments(
            output_dir=str(folder / "out"),
            num_train_epochs=1,
            train_sampling_strategy="sequential",
            per_device_train_batch_size=case.micro,
            gradient_accumulation_steps=told["batch"] // case.micro,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type=recipe.schedule,
            weight_decay=recipe.weight_decay,
            optim="adamw_torch_fused",
            bf16=told["dtype"] == "bfloat16",
            gradient_checkpointing=case.checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False} if case.checkpointing else None,
            use_cpu=told["device"] == "cpu",
            dataloader_num_workers=told["workers"],
            dataloader_pin_memory=told["device"] == "cuda",
            remove_unused_columns=False,
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
            report_to="none",
        ),
        train_dataset=rows(folder, backbone, recipe),
        data_collator=lambda part: collate(processor, part),
    )
    try:
        trainer.train()
    except Enough:
        return float(trainer.state.log_history[0]["loss"])
    raise RuntimeError("training ended before enough steps had been seen")


def rows(folder: Path, backbone: Any, recipe: Any) -> list[dict[str, Any]]:
    """Return all samples in the order in which we train on them, pictures as encoded files."""
    from matcg.forms.choice import OPTION_LETTERS
    from matcg.models.prompts import prompt_of
    from matcg.train.tasks import batches, read_mix

    tasks = read_mix(folder / "mix.parquet", folder / "data")
    return [
        {
            "prompt": prompt_of(task.sample, backbone),
            "letter": OPTION_LETTERS[task.answer],
            "image": io.BytesIO(task.sample.image),
        }
        for batch in batches(tasks, recipe, 0)
        for task in batch
    ]


def model_for_trainer(backbone: Any, recipe: Any, told: dict[str, Any]) -> Any:
    """Return the model as a Trainer's users load it: all of it in float32, or adapters on it."""
    import torch
    from transformers import AutoModelForImageTextToText

    from matcg.models.weights import part_of

    low = getattr(torch, told["dtype"])
    model = AutoModelForImageTextToText.from_pretrained(
        backbone.weights,
        dtype=low if recipe.method == "lora" else torch.float32,
        device_map={"": told["device"]},
    )
    if recipe.method == "full":
        return model
    from peft import LoraConfig, get_peft_model

    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and part_of(name) in recipe.trains
        and "lm_head" not in name
    ]
    return get_peft_model(
        model,
        LoraConfig(r=recipe.rank, lora_alpha=recipe.alpha or recipe.rank, target_modules=layers),
    )


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
        print("{}")
    else:
        print(json.dumps(train(Path(sys.argv[1]), Case(**json.loads(sys.argv[2])))))
