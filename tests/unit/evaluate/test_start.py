"""An engine is found by its file: one from a file under tests answers through `predict`."""

from pathlib import Path

import pytest
from test_predict import Desk, backbone

from matcg import evaluate
from matcg.errors import ConfigError, DataError, MatcgError, ResourceError
from matcg.evaluate import check_engine
from matcg.evaluate import start as module
from matcg.evaluate.start import prepare_engine, start


@pytest.fixture
def echo(monkeypatch):
    """Put the engine of `plugged` beside those of the library."""
    plugged = str(Path(__file__).parent / "plugged")
    monkeypatch.setattr(evaluate, "__path__", [*evaluate.__path__, plugged])


@pytest.mark.usefixtures("echo")
def test_an_engine_from_a_file_alone_answers(tmp_path):
    desk = Desk(tmp_path)
    desk.backbone = desk.backbone.model_copy(update={"engine": "echo"})
    check_engine(desk.backbone)
    prepare_engine(desk.backbone, {})
    rows, _ = desk.predict("full/cg/seed0")
    expected = [f"{target}-{n}" for target in ("knee", "lung") for n in range(3)]
    assert [row["sample_id"] for row in rows] == expected
    assert [row["probabilities"] for row in rows] == [pytest.approx([1 / 6, 5 / 6])] * 6
    assert all(row["strict"] and row["predicted"] == 1 for row in rows)


def test_an_unknown_engine_is_an_error_that_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match=r"engine: no engine 'vlm'. Did you mean 'vllm'"):
        check_engine(backbone(tmp_path, engine="vlm"))


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (
            ValueError("Free memory on device cuda:0 (20/24 GiB) on startup is less than desired"),
            ResourceError,
            "another program, .* lower `gpu_memory_utilization`",
        ),
        (ValueError("No available memory for the cache blocks."), ResourceError, "`max_model_len`"),
        (MemoryError("no more"), ResourceError, "larger GPU is needed"),
        (KeyError("a weight"), MatcgError, "`engine: transformers` in the backbone's file"),
        (DataError("as it stands"), DataError, "^as it stands$"),
    ],
)
def test_an_engine_that_does_not_start_says_what_to_do(tmp_path, monkeypatch, error, kind, advice):
    def fails(*_):
        raise error

    monkeypatch.setattr(module, "engine_of", lambda _: fails)
    with pytest.raises(MatcgError, match=advice) as caught:
        start("weights/here", backbone(tmp_path), {})
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
