"""Heads whose logits are not rounded to the type of their weights."""

import torch
from torch import nn

from matcg.models.loading import ExactHead, load_model, with_exact_head


def test_an_exact_head_has_logits_of_float32_and_its_own_weights():
    torch.manual_seed(0)
    head = nn.Linear(64, 500, dtype=torch.bfloat16)
    hidden = torch.randn(3, 2, 64, dtype=torch.bfloat16)
    exact = ExactHead(head)
    logits = exact(hidden)
    assert exact.weight is head.weight
    wanted = hidden.float() @ head.weight.float().T + head.bias.float()
    torch.testing.assert_close(logits, wanted)
    assert len(logits[0, 0].unique()) > len(head(hidden)[0, 0].unique())


def test_a_head_of_float32_stays(tiny):
    model, _ = load_model(tiny.weights, tiny)
    head = model.get_output_embeddings()
    assert with_exact_head(model).get_output_embeddings() is head
    low = model.to(torch.bfloat16)
    assert isinstance(with_exact_head(low).get_output_embeddings(), ExactHead)
