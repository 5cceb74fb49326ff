"""A family of models is found by its file, and the parts of its models by their names."""

from pathlib import Path

import pytest

from matcg.models import families
from matcg.models.weights import part_of

SHIPPED = ["llava/llama", "llava/qwen2", "mllama", "qwen2_5_vl", "qwen2_vl", "qwen3_vl"]


@pytest.fixture
def blip(monkeypatch):
    """Put the family of `plugged` beside those of the library."""
    plugged = str(Path(__file__).parent / "plugged")
    monkeypatch.setattr(families, "__path__", [*families.__path__, plugged])
    families.parameter_marks.cache_clear()
    yield
    families.parameter_marks.cache_clear()


@pytest.mark.usefixtures("blip")
def test_a_family_from_a_file_alone_has_its_parts():
    assert part_of("model.qformer.layers.0.weight") == "projector"
    assert part_of("model.eye.layers.0.weight") == "tower"
    assert part_of("model.language_model.layers.0.weight") == "llm"
    assert families.find("blip").siblings == {}
    assert sorted(families.siblings()) == SHIPPED


def test_what_no_file_is_named_like_is_no_family():
    assert families.find("blip") is None
    assert part_of("model.qformer.layers.0.weight") == "llm"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model.vision_tower.vision_model.encoder.layers.0.fc1.weight", "tower"),
        ("model.multi_modal_projector.linear_1.bias", "projector"),
        ("model.visual.blocks.0.attn.qkv.weight", "tower"),
        ("model.visual.merger.mlp.0.weight", "projector"),
        ("model.visual.deepstack_merger_list.0.norm.weight", "projector"),
        ("model.vision_model.gated_positional_embedding.gate", "tower"),
        ("lm_head.weight", "llm"),
    ],
)
def test_parts_of_shipped_families_are_known_by_their_names(name, part):
    assert part_of(name) == part
