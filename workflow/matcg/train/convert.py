"""A LLaVA checkpoint in the layout of LLaVA's own code, made into weights of transformers' `llava`.

That code adds tower and projector to a text model's class, so that its checkpoints are those of a
text model with tensors more (`model.mm_projector.0.weight`), of a `model_type` that transformers
does not know (github.com/haotian-liu/LLaVA, llava/model). Here tensors get the names that `llava`
was published with, which vLLM reads too. No code of the checkpoint runs.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    FileMetadataError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    StrictDataclassError,
)
from safetensors import safe_open
from tokenizers import AddedToken
from transformers import (
    AutoConfig,
    AutoProcessor,
    AutoTokenizer,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    MistralConfig,
    Qwen2Config,
)

from matcg import versions
from matcg.config.backbone import Backbone, Original
from matcg.errors import ConfigError, DataError, ResourceError
from matcg.provenance import describe
from matcg.train.attempt import FULL
from matcg.train.checks import check_architecture, check_processor
from matcg.train.shards import Tensor, read_folder, write_folder

RECORD = "conversion.json"
IMAGE = "<image>"
SETTINGS = ("*.json", "*.txt", "*.model", "*.jinja")
WEIGHTS = (*SETTINGS, "*.safetensors")
# What LLaVA's code calls the classes that it makes of text models, and their own configurations.
TEXTS = {
    "llava": LlamaConfig,
    "llava_llama": LlamaConfig,
    "llava_mistral": MistralConfig,
    "llava_qwen": Qwen2Config,
    "llava_qwen2": Qwen2Config,
}
PROJECTOR = "mlp2x_gelu"
SELECT = {"patch": "default", "cls_patch": "full"}
# Keys of a configuration that say how it was saved or used, not what it is.
ASIDE = {"_name_or_path", "architectures", "dtype", "model_type", "transformers_version"}
ASIDE |= {"id2label", "label2id", "use_cache"}
EMBEDDING = "language_model.model.embed_tokens.weight"
HEAD = "language_model.lm_head.weight"

Names = Sequence[tuple[str, str | None]]
NOT_FETCHED = (
    *(HfHubHTTPError, LocalEntryNotFoundError, FileMetadataError),
    *(OfflineModeIsEnabled, httpx2.HTTPError),
)

# Patterns of whole names, and what they become; None leaves a tensor out: buffers that are computed
# anew, and a separator of tiles, of which checkpoints that use it are refused.
TOWER = "vision_tower.vision_model."
CHECKPOINT: Names = (
    (r".*\.rotary_emb\.inv_freq|.*\.position_ids|model\.image_newline", None),
    (r"model\.vision_tower\.(?:vision_tower\.)?(?:vision_model\.)?(.+)", rf"{TOWER}\1"),
    (r"model\.mm_projector\.0\.(.+)", r"multi_modal_projector.linear_1.\1"),
    (r"model\.mm_projector\.2\.(.+)", r"multi_modal_projector.linear_2.\1"),
    (r"model\.((?:embed_tokens|layers|norm)\..+)", r"language_model.model.\1"),
    (r"lm_head\.(.+)", r"language_model.lm_head.\1"),
)
CLIP: Names = (
    (r"text_model\..+|(?:text|visual)_projection\.weight|logit_scale|.*\.position_ids", None),
    (r"(?:vision_model\.)?(.+)", rf"{TOWER}\1"),
)
# Names within transformers' class, which its own saving turns back only for weights it has loaded.
CLASS: Names = (
    (r"model\.language_model\.(.+)", r"language_model.model.\1"),
    (r"model\.vision_tower\.(.+)", rf"{TOWER}\1"),
    (r"model\.(multi_modal_projector\..+)", r"\1"),
    (r"(lm_head\..+)", r"language_model.\1"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint: its folder, its configuration, and the folder with the tower's settings."""

    folder: Path
    config: Mapping[str, Any]
    tower: Path


def convert(backbone: Backbone, out: Path) -> None:
    """Write the weights of `backbone.original` as those of class `llava` to `out`, whole or not.

    Raises:
        ConfigError: the backbone's file says other things than the checkpoint.
        DataError: the checkpoint is none of this layout, or damaged; names file, key or tensor.
        ResourceError: the disk is full.
    """
    original = backbone.original
    if original is None:
        raise ConfigError(f"backbone {backbone.name}: has no `original` that could be converted")
    part = out.with_name(f"{out.name}.part")
    with disk_errors(part):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        source = find(original)
        left_out = _write(source, original, part)
        check_architecture(AutoConfig.from_pretrained(part), backbone)
        check_processor(AutoProcessor.from_pretrained(part), backbone)
        known = original.model_dump(mode="json")
        record = describe(
            step="convert", version=versions.CONVERT, original=known, left_out=left_out
        )
        _save(part / RECORD, record)
        shutil.rmtree(out, ignore_errors=True)
        part.rename(out)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Say what to do where the disk is full while the body runs.

    Raises:
        ResourceError: no space, or quota, is left.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise ResourceError(
            f"{folder}: the disk is full. What is fetched (below HF_HOME) and what is made of it"
            " are of one size, and both are needed; free some, and call again"
        ) from None


def find(original: Original) -> Source:
    """Fetch a checkpoint where it lies on the hub, and return what it consists of.

    Raises:
        ConfigError: no settings of its tower are at hand.
        DataError: the hub cannot be reached, or the layout is another.
    """
    folder = fetch(original.weights, original.revision, WEIGHTS)
    config = _read(folder / "config.json")
    check_layout(config, folder)
    return Source(folder, config, tower_folder(original, folder, config))


def fetch(name: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """Return the folder `name`, or the copy of that repository's files in the hub's cache.

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
        "model_type": (None, sorted(TEXTS)),
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
        return fetch(original.tower, original.tower_revision, SETTINGS)
    named = str(config.get("mm_vision_tower") or config.get("vision_tower") or "")
    inside = (folder / named).resolve()
    if inside.is_relative_to(folder.resolve()) and (named and (inside / "config.json").is_file()):
        return inside
    raise ConfigError(
        f"original: the tower of {original.weights} is '{named}', which it does not hold; add"
        f" `tower: {named or 'org/model'}` and, for a hub name, its commit as `tower_revision`"
    )


def _write(source: Source, original: Original, out: Path) -> list[str]:
    """Write weights, settings, tokeniser and processor; return the tensors that were left out."""
    text, vision = text_config(source), vision_config(source.tower)
    tokenizer = load_tokenizer(source, text, out)
    tensors, left_out = collect(source, original)
    _grow(tensors, text, len(tokenizer))
    config = llava_config(source, text, vision, tokenizer.convert_tokens_to_ids(IMAGE))
    check_tensors(tensors, config, source.folder)
    write_folder(tensors, out)
    config.save_pretrained(out)
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil.from_pretrained(source.tower),
        tokenizer=tokenizer,
        patch_size=vision.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,
        image_token=IMAGE,
    )
    processor.save_pretrained(out)
    # Published ones may hold a temperature without sampling, which transformers 5 refuses to save.
    ends = {"bos_token_id": text.bos_token_id, "eos_token_id": text.eos_token_id}
    GenerationConfig(**ends, pad_token_id=tokenizer.pad_token_id).save_pretrained(out)
    return left_out


def text_config(source: Source) -> Any:
    """Return the configuration of the text model that a LLaVA's was made of."""
    old = {"rope_theta", "rope_scaling"}
    return _known(TEXTS[source.config["model_type"]], source.config, old, source.folder)


def vision_config(folder: Path) -> Any:
    """Return the configuration of a CLIP's tower; the folder may be that of a whole CLIP.

    Raises:
        DataError: it is no CLIP.
    """
    config = _read(folder / "config.json")
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


def load_tokenizer(source: Source, text: Any, scratch: Path) -> Any:
    """Return the checkpoint's tokeniser with a token for the picture and one to pad with."""
    folder = scratch / "tokenizer"
    folder.mkdir()
    for pattern in SETTINGS:
        for file in source.folder.glob(pattern):
            if file.name != "config.json":
                shutil.copy(file, folder)
    # transformers looks there too for a tokeniser's class. It has to find what it will find later,
    # or the text model's, which alone reads a SentencePiece model as that model's authors did.
    whole = (folder / "tokenizer.json").is_file()
    (LlavaConfig(text_config=text) if whole else text).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    shutil.rmtree(folder)
    if IMAGE not in tokenizer.get_vocab():
        tokenizer.add_tokens([AddedToken(IMAGE, special=True, normalized=False)])
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def collect(source: Source, original: Original) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors by the names they get, the tower's too, and the names of those left out.

    Raises:
        DataError: a tensor has a name that LLaVA's code does not give.
    """
    tensors, left_out = rename(read_folder(source.folder), CHECKPOINT)
    if not any(name.startswith(TOWER) for name in tensors):
        folder = source.tower
        if original.tower:
            folder = fetch(original.tower, original.tower_revision, WEIGHTS)
        tower, more = rename(read_folder(folder), CLIP)
        tensors |= tower
        left_out += more
    return tensors, sorted(left_out)


def rename(tensors: Mapping[str, Tensor], names: Names) -> tuple[dict[str, Tensor], list[str]]:
    """Return tensors by their new names, and the old names of those that are left out.

    Raises:
        DataError: no pattern fits a tensor, or two get one name.
    """
    found: dict[str, Tensor] = {}
    left_out = []
    for old, tensor in tensors.items():
        new = _renamed(old, names)
        if new == "":
            raise DataError(f"{tensor.file}: tensor {old} is of no layout that is known here")
        if new is None:
            left_out.append(old)
        elif new in found:
            raise DataError(f"{tensor.file}: both {found[new].name} and {old} would be {new}")
        else:
            found[new] = tensor
    return found, left_out


def _renamed(old: str, names: Names) -> str | None:
    """Return a tensor's new name; None where it is left out, "" where no pattern fits."""
    for pattern, new in names:
        if match := re.fullmatch(pattern, old):
            return None if new is None else match.expand(new)
    return ""


def _grow(tensors: dict[str, Tensor], text: Any, size: int) -> None:
    """Give embeddings a row for every token that has none: the picture's, whose row is not read.

    Rows more are the mean of the others: its logit is below the largest, whatever was said.
    """
    rows = text.vocab_size
    if size <= rows:
        return
    for name in (EMBEDDING, HEAD):
        if name in tensors and tensors[name].shape[0] == rows:
            tensors[name] = tensors[name].with_rows(mean_row(tensors[name]), size - rows)
    text.vocab_size = size


def mean_row(tensor: Tensor, rows: int = 4096) -> bytes:
    """Return the mean of a matrix's rows in its own type of numbers, read some rows at a time."""
    with safe_open(tensor.file, framework="pt") as file:
        matrix = file.get_slice(tensor.name)
        starts = range(0, tensor.shape[0], rows)
        parts = (matrix[start : start + rows].double().sum(dim=0) for start in starts)
        mean = torch.stack(list(parts)).sum(dim=0) / tensor.shape[0]
        return bytes(mean.to(matrix[:1].dtype).view(torch.uint8).tolist())


def llava_config(source: Source, text: Any, vision: Any, image: int) -> Any:
    """Return the configuration of the whole; `image` is the token of the picture."""
    strategy = SELECT[source.config.get("mm_vision_select_feature") or "patch"]
    patches = (vision.image_size // vision.patch_size) ** 2
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image,
        projector_hidden_act="gelu",
        vision_feature_select_strategy=strategy,
        vision_feature_layer=source.config.get("mm_vision_select_layer", -2),
        image_seq_length=patches + (strategy == "full"),
        multimodal_projector_bias=True,
        tie_word_embeddings=text.tie_word_embeddings,
    )
    config.architectures = [LlavaForConditionalGeneration.__name__]
    return config


def check_tensors(tensors: Mapping[str, Tensor], config: Any, folder: Path) -> None:
    """Check that there is every tensor of the class, in its shape, and no other.

    Raises:
        DataError: there is not; names the first, by its name in the checkpoint where it has one.
    """
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    expected = {
        str(_renamed(name, CLASS)): tuple(value.shape) for name, value in model.state_dict().items()
    }
    if config.tie_word_embeddings and HEAD not in tensors:
        del expected[HEAD]
    found = {name: tensor.shape for name, tensor in tensors.items()}
    odd = sorted(n for n in expected | found if expected.get(n) != found.get(n))
    if odd:
        first = odd[0]
        called = tensors[first].name if first in tensors else first
        raise DataError(
            f"{folder}: {len(odd)} tensors are not as its config.json says, the first is {called}:"
            f" {_sized(found.get(first))} here, {_sized(expected.get(first))} by the configuration"
        )


def _sized(shape: tuple[int, ...] | None) -> str:
    return "x".join(map(str, shape)) if shape is not None else "not there"


def _read(file: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error}); fetch or copy it again") from None
    return found


def _save(file: Path, data: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
