"""An engine is found by its file: one from a file under tests answers through `predict`."""

from pathlib import Path

import pytest
from test_predict import Desk, backbone

from matcg import evaluate
from matcg.errors import ConfigError
from matcg.evaluate import check_engine
from matcg.evaluate.start import prepare_engine


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
