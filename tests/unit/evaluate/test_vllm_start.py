"""What has to be so before vLLM starts, and what is refused."""

import os
from unittest import mock

import pytest
from transformers import LlamaConfig

from matcg.errors import ConfigError
from matcg.evaluate.vllm_start import MOST_CACHED, cache_bytes, refuse_slices, set_environment

ROOM = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 32,
}


def test_a_slice_of_a_card_is_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aaaa0000-1111")
    refuse_slices()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-c6d4f1ef-42e4")
    with pytest.raises(ConfigError, match=r"MIG-c6d4.*`engine: transformers`"):
        refuse_slices()


@mock.patch.dict(os.environ)
def test_what_would_stop_a_compilation_is_set_only_where_none_is_wanted(tiny):
    os.environ.pop("TORCHDYNAMO_DISABLE", None)
    set_environment(tiny, {"enforce_eager": False, "model_runner": "v2", "batch_invariant": True})
    assert "TORCHDYNAMO_DISABLE" not in os.environ
    found = [os.environ[f"VLLM_{name}"] for name in ("USE_V2_MODEL_RUNNER", "BATCH_INVARIANT")]
    assert found == ["1", "1"]
    set_environment(tiny, {})
    assert os.environ["TORCHDYNAMO_DISABLE"] == "1"
    assert os.environ["VLLM_USE_V2_MODEL_RUNNER"] == "0"


def test_a_cpu_keeps_room_for_so_many_long_prompts_and_no_more_than_a_gibibyte():
    # Keys and values of 2 layers, 2 heads of 8 numbers.
    assert cache_bytes(LlamaConfig(**ROOM), "bfloat16", 100) == 64 * 100 * 2 * 2 * 2 * 8 * 2
    assert cache_bytes(LlamaConfig(**ROOM), "float32", 100) == 64 * 100 * 2 * 2 * 2 * 8 * 4
    wide = LlamaConfig(**ROOM | {"hidden_size": 4096})
    assert cache_bytes(wide, "float32", 131_072) == MOST_CACHED == 2**30
