"""A LLaVA checkpoint in the layout of LLaVA's own code, made into weights of transformers' `llava`.

That code adds tower and projector to a text model's class, so that its checkpoints are those of a
text model with tensors more (`model.mm_projector.0.weight`), of a `model_type` that transformers
does not know (github.com/haotian-liu/LLaVA, llava/model). Here tensors get the names that `llava`
was published with, which vLLM reads too. No code of the checkpoint runs.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from tokenizers import AddedToken
from transformers import (
    AutoConfig,
    AutoProcessor,
    AutoTokenizer,
    CLIPImageProcessorPil,
    GenerationConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from matcg import versions
from matcg.config.backbone import Backbone, Original
from matcg.errors import ConfigError, DataError, disk_errors
from matcg.models import llava_names, llava_source
from matcg.models.checks import check_architecture, check_processor
from matcg.models.shards import Tensor, read_folder, write_folder
from matcg.provenance import describe, write_record

_RECORD = "conversion.json"
_FREE = (
    "What is fetched (below HF_HOME) and what is made of it are of one size, and both are needed;"
    " free some, and call again"
)
IMAGE = "<image>"


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
    with disk_errors(part, _FREE):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        source = llava_source.find_checkpoint(original)
        left_out = _write(source, original, part)
        check_architecture(AutoConfig.from_pretrained(part), backbone)
        check_processor(AutoProcessor.from_pretrained(part), backbone)
        known = original.model_dump(mode="json")
        record = describe(
            step="convert", version=versions.CONVERT, original=known, left_out=left_out
        )
        write_record(part / _RECORD, record)
        shutil.rmtree(out, ignore_errors=True)
        part.rename(out)


def _write(source: llava_source.LlavaCheckpoint, original: Original, out: Path) -> list[str]:
    """Write weights, settings, tokeniser and processor; return the tensors that were left out."""
    text, vision = llava_source.text_config(source), llava_source.vision_config(source.tower)
    tokenizer = load_tokenizer(source, text, out)
    tensors, left_out = _collect(source, original)
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


def load_tokenizer(source: llava_source.LlavaCheckpoint, text: Any, scratch: Path) -> Any:
    """Return the checkpoint's tokeniser with a token for the picture and one to pad with."""
    folder = scratch / "tokenizer"
    folder.mkdir()
    for pattern in llava_source.SETTINGS_FILES:
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


def _collect(
    source: llava_source.LlavaCheckpoint, original: Original
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors by the names they get, the tower's too, and the names of those left out.

    Raises:
        DataError: a tensor has a name that LLaVA's code does not give.
    """
    tensors, left_out = llava_names.rename(read_folder(source.folder), llava_names.CHECKPOINT)
    if not any(name.startswith(llava_names.TOWER) for name in tensors):
        folder = source.tower
        if original.tower:
            folder = llava_source.folder_of(
                original.tower, original.tower_revision, llava_source.WEIGHTS
            )
        tower, more = llava_names.rename(read_folder(folder), llava_names.CLIP)
        tensors |= tower
        left_out += more
    return tensors, sorted(left_out)


def _grow(tensors: dict[str, Tensor], text: Any, size: int) -> None:
    """Give embeddings a row for every token that has none: the picture's, whose row is not read.

    Rows more are the mean of the others: its logit is below the largest, whatever was said.
    """
    rows = text.vocab_size
    if size <= rows:
        return
    for name in (llava_names.EMBEDDING, llava_names.HEAD):
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


def llava_config(source: llava_source.LlavaCheckpoint, text: Any, vision: Any, image: int) -> Any:
    """Return the configuration of the whole; `image` is the token of the picture."""
    strategy = llava_source.SELECT[source.config.get("mm_vision_select_feature") or "patch"]
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
        str(llava_names.renamed(name, llava_names.CLASS)): tuple(value.shape)
        for name, value in model.state_dict().items()
    }
    if config.tie_word_embeddings and llava_names.HEAD not in tensors:
        del expected[llava_names.HEAD]
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
