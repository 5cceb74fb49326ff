"""Weight files: missing, damaged and foreign ones are named before an engine reads them."""

import json

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from matcg.config.backbone import Backbone
from matcg.errors import DataError
from matcg.evaluate.adapters import must_merge, rank_of
from matcg.models.weights import check_adapter, check_whole, whole_shapes

LAYERS = {
    "language_model.model.layers.0.self_attn.q_proj.weight": (8, 4),
    "language_model.model.layers.0.mlp.up_proj.weight": (6, 4),
    "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight": (2, 2),
    "multi_modal_projector.linear_1.weight": (4, 2),
}
BUFFER = "language_model.model.layers.0.self_attn.rotary_emb.inv_freq"
HEAD = "language_model.lm_head.weight"
LLM = "base_model.model.model.language_model.layers.0.self_attn.q_proj"
TOWER = "base_model.model.model.vision_tower.encoder.layers.0.self_attn.q_proj"
PROJECTOR = "base_model.model.model.multi_modal_projector.linear_1"


def whole(folder, shapes=None):
    folder.mkdir()
    tensors = {name: torch.zeros(shape) for name, shape in (shapes or LAYERS).items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


def sharded(folder):
    """Write whole weights in two files with an index."""
    folder.mkdir()
    places = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(LAYERS)}
    for file in set(places.values()):
        names = [name for name in LAYERS if places[name] == file]
        save_file({name: torch.zeros(LAYERS[name]) for name in names}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


def adapter(folder, sizes, rank=2, **config):
    """Write an adapter; `sizes` are the (out, in) of the layers it adapts."""
    folder.mkdir()
    tensors = {}
    for layer, (out, into) in sizes.items():
        tensors[f"{layer}.lora_A.weight"] = torch.ones(rank, into)
        tensors[f"{layer}.lora_B.weight"] = torch.ones(out, rank)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank, **config}))
    return folder


@pytest.fixture
def backbone(tmp_path):
    return Backbone(
        name="mine",
        weights=str(whole(tmp_path / "base")),
        image={"size": 8},
        prompt="{question}",
        recipes={"full": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 1}},
    )


def test_one_file_or_several_make_no_difference(backbone, tmp_path):
    shards = sharded(tmp_path / "run")
    assert whole_shapes(shards) == LAYERS
    check_whole(shards, backbone)
    check_whole(backbone.weights, backbone)


def test_a_missing_file_is_named(backbone, tmp_path):
    (sharded(tmp_path / "run") / "model-1.safetensors").unlink()
    with pytest.raises(DataError, match=r"run/model-1.safetensors: .* missing; train the run"):
        check_whole(tmp_path / "run", backbone)
    with pytest.raises(DataError, match=r"none/model.safetensors: .* missing"):
        check_whole(tmp_path / "none", backbone)


def test_a_file_cut_short_is_named(backbone, tmp_path):
    file = whole(tmp_path / "run") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"run/model.safetensors: .* cannot be read"):
        check_whole(tmp_path / "run", backbone)


def test_weights_of_another_backbone_are_refused(backbone, tmp_path):
    wider = {**LAYERS, "multi_modal_projector.linear_1.weight": (4, 3)}
    with pytest.raises(DataError, match=r"not as in backbone mine.*linear_1.*4x3 here, 4x2 there"):
        check_whole(whole(tmp_path / "wide", wider), backbone)
    fewer = dict(list(LAYERS.items())[1:])
    with pytest.raises(DataError, match=r"q_proj.weight: none here, 8x4 there"):
        check_whole(whole(tmp_path / "few", fewer), backbone)


@pytest.fixture
def on_hub(backbone, tmp_path, monkeypatch):
    """Return the backbone by its name on the hub, and its copy in the cache of this machine."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    copy = tmp_path / "hub/models--org--model/snapshots" / ("0" * 40)
    copy.parent.mkdir(parents=True)
    known = {"weights": "org/model", "revision": "0" * 40}
    return backbone.model_copy(update=known), whole(copy, {**LAYERS, BUFFER: (4,), HEAD: (9, 4)})


def test_a_name_on_the_hub_itself_is_left_to_the_engine(on_hub):
    check_whole("org/model", on_hub[0])


def test_a_tensor_that_the_hubs_copy_has_must_not_be_missing(on_hub, tmp_path):
    check_whole(whole(tmp_path / "run", {**LAYERS, HEAD: (9, 4)}), on_hub[0])
    with pytest.raises(DataError, match=r"lm_head.weight: none here, 9x4 there"):
        check_whole(whole(tmp_path / "few"), on_hub[0])


def test_a_head_that_is_the_embeddings_may_be_missing(on_hub, tmp_path):
    backbone, copy = on_hub
    (copy / "config.json").write_text('{"text_config": {"tie_word_embeddings": true}}')
    check_whole(whole(tmp_path / "run"), backbone)


def test_an_adapter_is_held_against_the_hubs_copy(on_hub, tmp_path):
    check_adapter(adapter(tmp_path / "run", {LLM: (8, 4)}), on_hub[0])
    with pytest.raises(DataError, match=r"does not fit backbone mine: .*the layer is \(8, 4\)"):
        check_adapter(adapter(tmp_path / "wide", {LLM: (8, 5)}), on_hub[0])


def test_a_backbone_that_is_in_no_cache_is_to_be_fetched(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    known = {"weights": "org/model", "revision": "0" * 40}
    elsewhere = backbone.model_copy(update=known)
    with pytest.raises(DataError, match=r"no copy of these; `hf download org/model --revision 0"):
        check_whole(whole(tmp_path / "run"), elsewhere)


def test_whole_weights_have_no_rank(tmp_path):
    assert rank_of(whole(tmp_path / "run")) == 0


def test_an_adapters_rank_is_its_largest(tmp_path):
    assert rank_of(adapter(tmp_path / "one", {LLM: (8, 4)}, rank=3)) == 3
    assert rank_of(adapter(tmp_path / "two", {LLM: (8, 4)}, rank_pattern={"q_proj": 9})) == 9


@pytest.mark.parametrize(
    ("sizes", "config", "expected"),
    [
        ({LLM: (8, 4)}, {}, False),
        ({LLM: (8, 4), PROJECTOR: (4, 2)}, {}, True),
        ({TOWER: (2, 2)}, {}, True),
        ({LLM: (8, 4)}, {"use_dora": True}, True),
    ],
)
def test_what_vllm_cannot_apply_must_be_merged(tmp_path, sizes, config, expected):
    assert must_merge(adapter(tmp_path / "run", sizes, **config)) == expected


def test_an_adapter_fits_under_the_names_of_either_format(backbone, tmp_path):
    sizes = {LLM: (8, 4), TOWER: (2, 2), PROJECTOR: (4, 2)}
    check_adapter(adapter(tmp_path / "run", sizes), backbone)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({LLM: (8, 5)}, r"lora_A.weight is \(2, 5\), the layer is \(8, 4\)"),
        ({LLM: (2, 4)}, r"lora_B.weight is \(2, 2\), the layer is \(8, 4\)"),
        ({LLM.replace(".0.", ".7."): (8, 4)}, r"the layer is not there"),
        ({LLM.replace("self_attn.q", "self_attn.k"): (8, 4)}, r"the layer is not there"),
    ],
)
def test_an_adapter_of_another_backbone_is_refused(backbone, tmp_path, sizes, words):
    with pytest.raises(DataError, match=rf"run: .*does not fit backbone mine: .*{words}"):
        check_adapter(adapter(tmp_path / "run", sizes), backbone)


def test_a_missing_or_damaged_adapter_is_named(backbone, tmp_path):
    with pytest.raises(DataError, match=r"base: holds no adapter_config.json"):
        check_adapter(tmp_path / "base", backbone)
    folder = adapter(tmp_path / "run", {LLM: (8, 4)})
    (folder / "adapter_model.safetensors").write_bytes(b"cut")
    with pytest.raises(DataError, match=r"run/adapter_model.safetensors: .* cannot be read"):
        check_adapter(folder, backbone)
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(DataError, match=r"run/adapter_config.json: cannot be read"):
        rank_of(folder)
