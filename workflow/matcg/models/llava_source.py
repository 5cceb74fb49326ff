"""A checkpoint in the layout of LLaVA's own code: where its files are, what its settings say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    FileMetadataError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    StrictDataclassError,
)
from transformers import CLIPVisionConfig, LlamaConfig, MistralConfig, Qwen2Config

from matcg.config.backbone import Original
from matcg.errors import ConfigError, DataError
from matcg.models.weights import json_in

SETTINGS_FILES = ("*.json", "*.txt", "*.model", "*.jinja")
WEIGHTS = (*SETTINGS_FILES, "*.safetensors")
# What LLaVA's code calls the classes that it makes of text models, and their own configurations.
_TEXTS = {
    "llava": LlamaConfig,
    "llava_llama": LlamaConfig,
    "llava_mistral": MistralConfig,
    "llava_qwen": Qwen2Config,
    "llava_qwen2": Qwen2Config,
}
_MEND = "fetch or copy it again"
PROJECTOR = "mlp2x_gelu"
SELECT = {"patch": "default", "cls_patch": "full"}
# Keys of a configuration that say how it was saved or used, not what it is.
ASIDE = {"_name_or_path", "architectures", "dtype", "model_type", "transformers_version"}
ASIDE |= {"id2label", "label2id", "use_cache"}

NOT_FETCHED = (
    *(HfHubHTTPError, LocalEntryNotFoundError, FileMetadataError),
    *(OfflineModeIsEnabled, httpx2.HTTPError),
)


@dataclass(frozen=True, slots=True)
class LlavaCheckpoint:
    """A checkpoint: its folder, its configuration, and the folder with the tower's settings."""

    folder: Path
    config: Mapping[str, Any]
    tower: Path


def find_checkpoint(original: Original) -> LlavaCheckpoint:
    """Fetch a checkpoint where it lies on the hub, and return what it consists of.

    Raises:
        ConfigError: no settings of its tower are at hand.
        DataError: the hub cannot be reached, or the layout is another.
    """
    folder = folder_of(original.weights, original.revision, WEIGHTS)
    config = json_in(folder / "config.json", _MEND)
    check_layout(config, folder)
    return LlavaCheckpoint(folder, config, tower_folder(original, folder, config))


def folder_of(name: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """Return the folder `name`, or the copy of that repository's files in the hub's cache.

    Not by `data.fetch`, which fills a folder of its own: transformers and vLLM find weights of the
    hub in this cache, so what they have fetched is not fetched again.

    Raises:
        DataError: it is neither in the cache nor to be had.
    """
    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except NOT_FETCHED as error:
        said = str(error).split("\n")[0].strip()
        raise DataError(
            f"{name} at {revision} is not in the hub's cache and cannot be fetched ({said}). Where"
            f" there is a network, `hf download {name} --revision {revision}` fetches it (HF_HOME"
            " says where to); or name a folder in its place"
        ) from None


def check_layout(config: Mapping[str, Any], folder: Path) -> None:
    """Check that a checkpoint's settings are those of a model that class `llava` can be.

    Raises:
        DataError: it is of transformers' layout already, or of another kind; names the setting.
    """
    where = folder / "config.json"
    if "text_config" in config:
        raise DataError(
            f"{where}: these weights are in transformers' layout already; name them as `weights` of"
            " the backbone, without `original`"
        )
    known: dict[str, tuple[Any, Sequence[Any]]] = {
        "model_type": (None, sorted(_TEXTS)),
        "mm_projector_type": ("linear", [PROJECTOR]),
        "mm_vision_select_feature": ("patch", sorted(SELECT)),
        "mm_patch_merge_type": ("flat", ["flat"]),
        "image_aspect_ratio": ("square", ["square", "pad"]),
    }
    for key, (default, valid) in known.items():
        found = config.get(key) or default
        if found not in valid:
            raise DataError(
                f"{where}: {key} is '{found}'; what can be converted has {' or '.join(valid)}"
            )


def tower_folder(original: Original, folder: Path, config: Mapping[str, Any]) -> Path:
    """Return the folder with the settings of the tower and of its pictures.

    Raises:
        ConfigError: the backbone's file names none, and the checkpoint holds none.
    """
    if original.tower:
        return folder_of(original.tower, original.tower_revision, SETTINGS_FILES)
    named = str(config.get("mm_vision_tower") or config.get("vision_tower") or "")
    inside = (folder / named).resolve()
    if inside.is_relative_to(folder.resolve()) and (named and (inside / "config.json").is_file()):
        return inside
    raise ConfigError(
        f"original: the tower of {original.weights} is '{named}', which it does not hold; add"
        f" `tower: {named or 'org/model'}` and, for a hub name, its commit as `tower_revision`"
    )


def text_config(source: LlavaCheckpoint) -> Any:
    """Return the configuration of the text model that a LLaVA's was made of."""
    old = {"rope_theta", "rope_scaling"}
    return _known(_TEXTS[source.config["model_type"]], source.config, old, source.folder)


def vision_config(folder: Path) -> Any:
    """Return the configuration of a CLIP's tower; the folder may be that of a whole CLIP.

    Raises:
        DataError: it is no CLIP.
    """
    config = json_in(folder / "config.json", _MEND)
    if config.get("model_type") not in ("clip", "clip_vision_model"):
        raise DataError(
            f"{folder / 'config.json'}: model_type is '{config.get('model_type')}'; only a tower of"
            " CLIP can be converted"
        )
    return _known(CLIPVisionConfig, config.get("vision_config", config), set(), folder)


def _known(kind: Any, settings: Mapping[str, Any], old: set[str], folder: Path) -> Any:
    """Return a configuration of some settings; those that its class does not have are not its."""
    keys = (set(kind().to_dict()) | old) - ASIDE
    try:
        return kind(**{key: value for key, value in settings.items() if key in keys})
    except (StrictDataclassError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise DataError(
            f"{folder / 'config.json'}: is no configuration of {kind.__name__} ({said})"
        ) from None
