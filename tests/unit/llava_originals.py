"""Tiny checkpoints in the layout of LLaVA's own code, made of siblings by renaming."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from matcg.config.backbone import Backbone, Original

BACK = (
    (r"language_model\.model\.", "model."),
    (r"language_model\.lm_head\.", "lm_head."),
    (r"multi_modal_projector\.linear_1\.", "model.mm_projector.0."),
    (r"multi_modal_projector\.linear_2\.", "model.mm_projector.2."),
    (r"vision_tower\.vision_model\.", "model.vision_tower.vision_tower.vision_model."),
)
TOWER = "model.vision_tower.vision_tower."
BUFFER = "model.layers.0.self_attn.rotary_emb.inv_freq"
VIT = "vit/clip_tiny"

Tensors = dict[str, torch.Tensor]


def make_original(sibling: Backbone, out: Path, tower: str = "checkpoint") -> Backbone:
    """Write a sibling's weights as LLaVA's code would; return the backbone that names them.

    `tower` says where its weights are: in the `checkpoint`, beside its settings, or in a folder
    `apart`.
    """
    published = Path(sibling.weights)
    tensors = {named_back(name): value for name, value in load_all(published).items()}
    seen = {name: tensors[name] for name in tensors if name.startswith(TOWER)}
    config = read(published / "config.json")
    vision = out.with_name(f"{out.name}-tower") if tower == "apart" else out / VIT
    write_tower(vision, config, {} if tower == "checkpoint" else seen)
    if tower != "checkpoint":
        tensors = {name: value for name, value in tensors.items() if name not in seen}
    write_weights(out, {**tensors, BUFFER: torch.ones(16)})
    write(out / "config.json", settings_of(config, "org/clip" if tower == "apart" else f"./{VIT}"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(published / name, out)
    original = Original(weights=str(out), tower=str(vision) if tower == "apart" else None)
    return renewed(sibling, original)


def renewed(backbone: Backbone, original: Original) -> Backbone:
    """Return the backbone with weights that are to be made of `original`."""
    settings = json.loads(backbone.model_dump_json(exclude={"weights", "revision"}))
    return Backbone.model_validate({**settings, "original": original.model_dump()})


def settings_of(config: Mapping[str, Any], tower: str) -> dict[str, Any]:
    """Return the config.json that LLaVA's code writes, training's settings among the model's."""
    text = dict(config["text_config"])
    rope = text.pop("rope_parameters")
    kind = text.pop("model_type")
    text.pop("layer_types", None)  # of later versions than those that wrote such checkpoints
    return text | {
        "_name_or_path": "somewhere",
        "architectures": ["LlavaForCausalLM"],
        "model_type": f"llava_{kind}",
        "rope_theta": rope["rope_theta"],
        "image_aspect_ratio": "pad",
        "mm_hidden_size": config["vision_config"]["hidden_size"],
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": tower,
        "tokenizer_model_max_length": 4096,
        "torch_dtype": "float32",
        "tune_mm_mlp_adapter": False,
        "use_cache": False,
        "use_mm_proj": True,
    }


def write_tower(folder: Path, config: Mapping[str, Any], tensors: Tensors) -> None:
    """Write a CLIP as it was published in 2021, weights of its other parts included."""
    vision = config["vision_config"]
    edge = vision["image_size"]
    write(folder / "config.json", {"model_type": "clip", "vision_config": vision})
    pixels = {
        "crop_size": edge,
        "size": edge,
        "resample": 3,
        "do_resize": True,
        "do_center_crop": True,
        "do_normalize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    write(folder / "preprocessor_config.json", pixels)
    if tensors:
        mine = {name.removeprefix(TOWER): value.clone() for name, value in tensors.items()}
        others = {
            "vision_model.embeddings.position_ids": torch.arange(17)[None],
            "text_model.final_layer_norm.weight": torch.ones(4),
            "visual_projection.weight": torch.ones(4, 4),
            "logit_scale": torch.tensor(1.0),
        }
        save_file(mine | others, folder / "model.safetensors", metadata={"format": "pt"})


def write_weights(folder: Path, tensors: Tensors, shards: int = 3) -> None:
    """Write tensors to several files and an index."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(tensors)
    weight_map = {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        mine = {name: tensors[name].clone() for name in names[number::shards]}
        save_file(mine, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(mine, file)
    write(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    """Write a checkpoint's tensors again with some changed, added or, where None, left out.

    A tensor's dots are underscores twice over here: `lm_head__weight`.
    """
    tensors: dict[str, torch.Tensor | None] = dict(load_all(folder))
    tensors |= {name.replace("__", "."): value for name, value in changes.items()}
    for file in folder.glob("*.safetensors"):
        file.unlink()
    write_weights(folder, {name: value for name, value in tensors.items() if value is not None})


def change_settings(folder: Path, **changes: object) -> None:
    """Change keys of a checkpoint's config.json."""
    write(folder / "config.json", read(folder / "config.json") | changes)


def forget_image_token(folder: Path) -> None:
    """Rename the picture's token, so that the tokeniser has none, as published ones."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("<image>", "<spare>"), encoding="utf-8")


def load_all(folder: Path) -> Tensors:
    """Return the tensors in all of a folder's files."""
    found: Tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found


def named_back(name: str) -> str:
    """Return the name that LLaVA's code gives a tensor of transformers' class."""
    for pattern, old in BACK:
        if re.match(pattern, name):
            return re.sub(pattern, old, name, count=1)
    raise AssertionError(name)


def read(file: Path) -> dict[str, Any]:
    """Return a JSON file's mapping."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def write(file: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON file and the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data, indent=1))
