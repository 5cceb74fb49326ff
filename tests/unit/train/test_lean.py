"""Packages are out of sight while transformers asks for them, and as before afterwards."""

import importlib

import pytest
import torch

from matcg.train import lean


def test_what_is_hidden_comes_back() -> None:
    scipy, available = importlib.import_module("scipy"), torch.distributed.is_available
    with lean._hidden():
        for name in lean.UNUSED:
            with pytest.raises(ImportError):
                importlib.import_module(name)
        assert not torch.distributed.is_available()
    assert importlib.import_module("scipy") is scipy
    assert torch.distributed.is_available is available
