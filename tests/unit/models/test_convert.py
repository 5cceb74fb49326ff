"""Checkpoints in the layout of LLaVA's own code: converted they answer alike, or an error helps.

vLLM and the rule are tested with the workflow (`test_conversion.py` there).
"""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import AutoTokenizer, Qwen2Config

from llava_originals import (
    TOWER,
    VIT,
    change_settings,
    change_weights,
    forget_image_token,
    load_all,
    make_original,
    read,
    renewed,
    write,
)
from matcg.config.backbone import Backbone, Original
from matcg.config.library import load
from matcg.errors import ConfigError, DataError, ResourceError
from matcg.models import convert as module
from matcg.models.convert import convert
from matcg.models.identity import settings
from matcg.models.loading import last_logits
from matcg.models.shards import read_folder, write_folder
from sibling_fixtures import ROOT, questions, siblings, start

__all__ = ["siblings"]

EMBEDDINGS = "model.embed_tokens.weight"
QWEN, LLAMA = "huatuogpt-vision-7b", "llava-1.5-7b"


@pytest.fixture
def original(siblings, tmp_path):
    """Return a function that writes the tiny original of a shipped backbone, and names it."""

    def make(name: str = QWEN, tower: str = "checkpoint") -> Backbone:
        return make_original(siblings(name), tmp_path / "original", tower)

    return make


@torch.no_grad()
def logits(backbone: Backbone, weights: Path | None = None) -> torch.Tensor:
    """Return logits (3, vocabulary) of questions with pictures."""
    model, reader = start(backbone, weights)
    return last_logits(model, reader.inputs(questions(3)))


@pytest.mark.parametrize("name", [QWEN, LLAMA])
@pytest.mark.parametrize("tower", ["checkpoint", "beside", "apart"])
def test_weights_keep_their_bits_and_answers(siblings, original, tmp_path, name, tower):
    backbone, sibling = original(name, tower), siblings(name)
    convert(backbone, tmp_path / "out")
    expected, found = load_all(Path(sibling.weights)), load_all(tmp_path / "out")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert torch.equal(logits(backbone, tmp_path / "out"), logits(sibling))
    assert not (tmp_path / "out.part").exists()


def test_a_text_model_of_mistral_answers_as_llama_of_the_same_weights(siblings, original, tmp_path):
    backbone = original(LLAMA).model_copy(update={"architecture": "llava/mistral"})
    change_settings(tmp_path / "original", model_type="llava_mistral", sliding_window=None)
    convert(backbone, tmp_path / "out")
    assert read(tmp_path / "out/config.json")["text_config"]["model_type"] == "mistral"
    assert torch.equal(logits(backbone, tmp_path / "out"), logits(siblings(LLAMA)))


def test_tied_embeddings_stay_one_tensor(original, tmp_path):
    backbone = original()
    table = load_all(tmp_path / "original")[EMBEDDINGS]
    change_settings(tmp_path / "original", tie_word_embeddings=True)
    change_weights(tmp_path / "original", lm_head__weight=None)
    convert(backbone, tmp_path / "out")
    model, _ = start(backbone, tmp_path / "out")
    assert torch.equal(model.lm_head.weight, table)


def test_a_picture_without_token_gets_the_first_row_that_no_token_has(siblings, original, tmp_path):
    backbone = original()
    forget_image_token(tmp_path / "original")
    tensors = load_all(tmp_path / "original")
    known = len(tensors["lm_head.weight"])
    wider = {
        name.replace(".", "__"): torch.cat([tensors[name], torch.zeros(5, tensors[name].shape[1])])
        for name in (EMBEDDINGS, "lm_head.weight")
    }
    change_weights(tmp_path / "original", **wider)
    change_settings(tmp_path / "original", vocab_size=known + 5)
    convert(backbone, tmp_path / "out")
    assert read(tmp_path / "out/config.json")["image_token_index"] == known
    found = logits(backbone, tmp_path / "out")
    # A wider matrix is multiplied in other blocks.
    assert float((found[:, :known] - logits(siblings(QWEN))).abs().max()) < 1e-5
    assert found.shape[1] == known + 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_picture_without_row_gets_one_that_no_answer_chooses(original, tmp_path, dtype):
    backbone = original(LLAMA)
    forget_image_token(tmp_path / "original")
    weights = {
        n.replace(".", "__"): v.to(dtype) for n, v in load_all(tmp_path / "original").items()
    }
    change_weights(tmp_path / "original", **weights)
    convert(backbone, tmp_path / "out")
    for name in ("lm_head.weight", EMBEDDINGS):
        old, new = load_all(tmp_path / "original")[name], load_all(tmp_path / "out")
        table = new[f"language_model.{name}"]
        assert table.dtype == dtype
        assert torch.equal(table[:-1], old)
        assert torch.equal(table[-1], old.double().mean(dim=0).to(dtype))
    found = logits(backbone, tmp_path / "out")
    token = read(tmp_path / "out/config.json")["image_token_index"]
    assert token == len(found[0]) - 1
    assert (found.argmax(dim=1) != token).all()


def test_settings_of_training_and_of_saving_are_left_behind(original, tmp_path):
    convert(original(), tmp_path / "out")
    config = read(tmp_path / "out/config.json")
    assert not [key for key in (*config, *config["text_config"]) if key.startswith(("mm_", "tune"))]
    assert config["vision_feature_layer"] == -2
    assert config["vision_feature_select_strategy"] == "default"
    assert config["text_config"]["rope_parameters"]["rope_theta"] == 10000.0
    left_out = read(tmp_path / "out/conversion.json")["left_out"]
    assert left_out == ["model.layers.0.self_attn.rotary_emb.inv_freq"]


def test_text_is_read_as_the_published_tokeniser_reads_it(original, tmp_path):
    backbone = original()
    folder = tmp_path / "original"
    forget_image_token(folder)
    scratch = tmp_path / "qwen"
    Qwen2Config().save_pretrained(scratch)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, scratch)
    published = AutoTokenizer.from_pretrained(scratch)
    assert type(published).__name__ == "Qwen2Tokenizer"
    published.save_pretrained(folder)
    convert(backbone, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    before, after = "<|user|>\n", "\nIs this  a cyst?\nA: it's\tone\n<|assistant|>\n"
    picture = [tokenizer.convert_tokens_to_ids("<image>")]
    apart = [published(text)["input_ids"] for text in (before, after)]
    assert tokenizer(f"{before}<image>{after}")["input_ids"] == [*apart[0], *picture, *apart[1]]
    assert picture == [len(published)]


def test_a_sentencepiece_model_is_read_as_its_own_library_reads_it(original, tmp_path):
    backbone = original(LLAMA)
    folder = tmp_path / "original"
    rows = 400
    SentencePieceTrainer.train(
        sentence_iterator=iter((ROOT / "README.md").read_text().splitlines()),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=rows,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    (folder / "tokenizer.json").unlink()
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    config = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "legacy": True}
    write(folder / "tokenizer_config.json", config | special)
    tables = {name: load_all(folder)[name][:rows] for name in (EMBEDDINGS, "lm_head.weight")}
    change_weights(folder, **{name.replace(".", "__"): tables[name] for name in tables})
    change_settings(folder, vocab_size=rows)
    convert(backbone, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    published = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    for text in ("USER: What is it?\n\nA: a cyst\nASSISTANT:", "a  b", "[INST] \u00e4 [/INST]"):
        assert tokenizer(text)["input_ids"] == [1, *published.encode(text)]
    assert tokenizer.convert_tokens_to_ids("<image>") == rows


SETTINGS = [
    ("mm_projector_type", "linear", "mm_projector_type is 'linear'.* has mlp2x_gelu"),
    ("model_type", "llava_mpt", "model_type is 'llava_mpt'"),
    ("image_aspect_ratio", "anyres", "image_aspect_ratio is 'anyres'"),
    ("mm_patch_merge_type", "spatial_unpad", "mm_patch_merge_type is 'spatial_unpad'"),
    ("mm_vision_select_feature", "cls", "mm_vision_select_feature is 'cls'"),
    ("text_config", {}, "transformers' layout already"),
    ("num_hidden_layers", 3, r"12 tensors .* language_model.model.layers.2.\S+: not there here"),
    ("hidden_act", 3, r"config.json: is no configuration of Qwen2"),
    ("hidden_size", 32, r"tensors are not as its config.json says"),
]


@pytest.mark.parametrize(("key", "value", "message"), SETTINGS, ids=lambda value: str(value)[:20])
def test_settings_that_llava_has_not_are_named(original, tmp_path, key, value, message):
    backbone = original()
    change_settings(tmp_path / "original", **{key: value})
    with pytest.raises(DataError, match=message):
        convert(backbone, tmp_path / "out")
    assert not (tmp_path / "out").exists()


ONE = torch.ones(1)
LAYER = "model__layers__0__self_attn__q_proj"
TENSORS = [
    ({f"{LAYER}__weight": None}, r"layers.0.self_attn.q_proj.weight: not there here, 64x64 by"),
    ({f"{LAYER}__lora_A__weight": ONE}, r"q_proj.lora_A.weight: 1 here, not there by"),
    ({f"{LAYER}__weight": ONE}, r"model.layers.0.self_attn.q_proj.weight: 1 here, 64x64 by"),
    ({"model__image_newline_2": ONE}, "model.image_newline_2 is of no layout that is known"),
    ({"model__mm_projector__4__weight": ONE}, "model.mm_projector.4.weight is of no layout"),
    ({"model__vision_tower__vision_model__post_layernorm__bias": ONE}, "both .* would be"),
]


@pytest.mark.parametrize(("change", "message"), TENSORS, ids=lambda value: str(value)[:40])
def test_a_tensor_too_few_too_many_or_of_another_shape_is_named(
    original, tmp_path, change, message
):
    backbone = original()
    change_weights(tmp_path / "original", **change)
    with pytest.raises(DataError, match=message):
        convert(backbone, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pickles_are_refused_with_what_to_do(original, tmp_path):
    backbone = original()
    for file in (tmp_path / "original").glob("*.safetensors*"):
        file.unlink()
    (tmp_path / "original/pytorch_model-00001-of-00002.bin").write_bytes(b"")
    message = "only pytorch_model-00001-of-00002.bin. .*pickles.* save the weights as such"
    with pytest.raises(DataError, match=message):
        convert(backbone, tmp_path / "out")


def test_a_tower_that_is_a_pickle_is_refused(original, tmp_path):
    backbone = original(tower="beside")
    vision = tmp_path / "original" / VIT
    (vision / "model.safetensors").rename(vision / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"clip_tiny: holds no .safetensors file, only pytorch_mod"):
        convert(backbone, tmp_path / "out")


@pytest.mark.parametrize("cut", [4, 1000, -1])
def test_a_file_that_is_cut_off_is_named(original, tmp_path, cut):
    backbone = original()
    file = sorted((tmp_path / "original").glob("*.safetensors"))[1]
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(DataError, match=rf"{file.name}: cannot be read .* fetch or copy it again"):
        convert(backbone, tmp_path / "out")


def test_a_shard_that_is_not_there_is_named(original, tmp_path):
    backbone = original()
    (tmp_path / "original/model-00002-of-00003.safetensors").unlink()
    with pytest.raises(DataError, match=r"model-00002-of-00003.safetensors: cannot be read"):
        convert(backbone, tmp_path / "out")


def test_the_tower_must_be_named_where_the_checkpoint_lacks_it(original, tmp_path):
    backbone = original(tower="apart")
    silent = renewed(backbone, Original(weights=backbone.original.weights))
    with pytest.raises(ConfigError, match=r"is 'org/clip'.* add `tower: org/clip`"):
        convert(silent, tmp_path / "out")
    change_settings(tmp_path / "original", mm_vision_tower="../original-tower")
    with pytest.raises(ConfigError, match="which it does not hold"):
        convert(silent, tmp_path / "out")


def test_a_tower_of_another_kind_is_refused(original, tmp_path):
    backbone = original()
    config = tmp_path / "original" / VIT / "config.json"
    config.write_text(config.read_text().replace('"clip"', '"siglip"'))
    with pytest.raises(DataError, match="model_type is 'siglip'; only a tower of CLIP"):
        convert(backbone, tmp_path / "out")


def test_what_the_file_says_of_the_backbone_is_checked(original, tmp_path):
    wrong = original().model_copy(update={"architecture": "llava/llama"})
    with pytest.raises(ConfigError, match="is 'llava/llama', but its weights are llava/qwen2"):
        convert(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing_that_looks_whole(original, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_folder", fail)
    with pytest.raises(ResourceError, match="the disk is full"):
        convert(original(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_the_hub_it_says_what_to_fetch(siblings, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    backbone = renewed(siblings(QWEN), Original(weights="org/model", revision="1" * 40))
    with pytest.raises(DataError, match=f"`hf download org/model --revision {'1' * 40}` fetches"):
        convert(backbone, tmp_path / "out")


def test_numbers_of_any_width_are_written_whole_and_alike(tmp_path):
    tensors = {
        "a": torch.arange(3, dtype=torch.bfloat16),
        "b": torch.arange(5, dtype=torch.float32),
        "c": torch.tensor(7),
        "d": torch.zeros(0, 4, dtype=torch.float16),
        "e": torch.arange(3, dtype=torch.uint8),
    }
    (tmp_path / "in").mkdir()
    save_file(tensors, tmp_path / "in/model.safetensors", metadata={"format": "pt"})
    written = []
    for name, limit in (("one", 10**6), ("again", 10**6), ("many", 12)):
        (tmp_path / name).mkdir()
        write_folder(read_folder(tmp_path / "in"), tmp_path / name, limit)
        found = load_all(tmp_path / name)
        assert {n: v.tolist() for n, v in found.items()} == {
            n: v.tolist() for n, v in tensors.items()
        }
        assert {n: v.dtype for n, v in found.items()} == {n: v.dtype for n, v in tensors.items()}
        assert read_folder(tmp_path / name).keys() == tensors.keys()
        written.append([file.read_bytes() for file in sorted((tmp_path / name).iterdir())])
    assert written[0] == written[1]
    assert len(written[2]) == 3 + 1  # 8, 20, 6 + 0 + 3 bytes, and the index


def test_an_unfinished_try_is_made_anew(original, tmp_path):
    backbone = original()
    (tmp_path / "out.part/tokenizer").mkdir(parents=True)
    (tmp_path / "out.part/model-00007-of-00009.safetensors").write_text("half")
    convert(backbone, tmp_path / "out")
    files = [path.name for path in (tmp_path / "out").glob("*.safetensors")]
    assert files == ["model-00001-of-00001.safetensors"]
    assert TOWER not in " ".join(load_file(tmp_path / "out" / files[0]))


def test_identity_is_of_content_and_revision_and_not_of_place(original, tmp_path):
    backbone = original()
    moved = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "original", moved)
    assert settings(renewed(backbone, Original(weights=str(moved)))) == settings(backbone)
    vision = moved / VIT / "config.json"
    vision.write_text(vision.read_text() + " ")
    assert settings(renewed(backbone, Original(weights=str(moved)))) != settings(backbone)
    named = [
        settings(renewed(backbone, Original(weights="org/m", revision=revision, **more)))
        for revision, more in (
            ("1" * 40, {}),
            ("2" * 40, {}),
            ("2" * 40, {"tower": "org/c", "tower_revision": "3" * 40}),
            ("2" * 40, {"tower": "org/c", "tower_revision": "4" * 40}),
        )
    ]
    assert len(set(named)) == 4


@pytest.mark.parametrize("name", [LLAMA, "tiny-llava"])
def test_the_identity_of_other_backbones_says_nothing_of_it(name):
    assert "original" not in settings(load("backbone", ROOT / f"backbones/{name}.yaml"))


FILES = [
    ("weights: org/model\n", "original: takes the place of `weights`"),
    ("revision: x\n", "original: takes the place of `weights`"),
]


@pytest.mark.parametrize(("line", "message"), FILES)
def test_a_file_gives_weights_or_their_original(tmp_path, line, message):
    text = (ROOT / f"backbones/{QWEN}.yaml").read_text()
    (tmp_path / f"{QWEN}.yaml").write_text(line + text)
    with pytest.raises(ConfigError, match=message):
        load("backbone", tmp_path / f"{QWEN}.yaml")


ORIGINALS = [
    ("  revision: 34", "  tower: 34", "original.revision: is missing"),
    ("  revision: ", "  tower: org/clip\n  revision: ", "original.tower_revision: is missing"),
    ("Freedom", "./nowhere/Freedom", "original.weights: no folder .*nowhere"),
    ("  weights: Fr", "  from: Fr", "original.from: unknown key"),
]


@pytest.mark.parametrize(("old", "new", "message"), ORIGINALS)
def test_an_original_is_looked_for_like_weights(tmp_path, old, new, message):
    text = (ROOT / f"backbones/{QWEN}.yaml").read_text()
    assert old in text
    (tmp_path / f"{QWEN}.yaml").write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        load("backbone", tmp_path / f"{QWEN}.yaml")


def test_a_backbone_without_weights_is_refused(tmp_path):
    text = (ROOT / "backbones/llava-1.5-7b.yaml").read_text()
    (tmp_path / "b.yaml").write_text(text.replace("weights: llava", "description: llava", 1))
    with pytest.raises(ConfigError):
        load("backbone", tmp_path / "b.yaml")
