"""The loss of a batch, of one token or several an answer, in parts, as transformers has it."""

from unittest import mock

import pytest
import torch
from torch.nn.functional import cross_entropy

from matcg.models.loading import last_logits
from matcg.models.prompts import single_tokens
from matcg.train.parallel import World
from sibling_fixtures import start
from training import gradient, mixed, one_step, plain_loss

__all__ = ["mixed"]


@pytest.fixture(scope="module")
def started(tiny):
    """Return the tiny backbone's model and a reader."""
    torch.set_num_threads(1)
    return start(tiny)


def expected(model, reader, tasks, by):
    """Return loss and gradient of some tasks, each alone, by transformers."""
    losses, sizes = zip(*(plain_loss(model, reader, task) for task in tasks), strict=True)
    weights = sizes if by == "tokens" else [1] * len(sizes)
    loss = sum(each * weight for each, weight in zip(losses, weights, strict=True)) / sum(weights)
    loss.backward()
    return loss.item(), gradient(model)


@pytest.mark.parametrize("by", ["samples", "tokens"])
def test_parts_and_processes_give_the_loss_and_gradient_of_transformers(started, mixed, by):
    model, reader = started
    loss, whole = expected(model, reader, mixed, by)
    assert float(whole.abs().max()) > 0.1
    for micro in (7, 3, 1):
        totals = one_step(model, reader, mixed, micro, by=by)
        assert totals.loss == pytest.approx(loss)
        assert float((gradient(model) - whole).abs().max()) < 1e-6
    found = []
    # As if the other process were there: of 14 tokens, 11 are of numbers.
    known = mock.patch.object(World, "sum", lambda _, *own: [14] if len(own) == 1 else [*own])
    for rank in (0, 1):
        with known:
            world = World(torch.device("cpu"), rank, 2)
            totals = one_step(model, reader, mixed, 2, by=by, world=world)
        found.append((totals.loss, gradient(model)))
    assert found[0][0] + found[1][0] == pytest.approx(loss)
    assert float(((found[0][1] + found[1][1]) / 2 - whole).abs().max()) < 1e-6


def test_letters_alone_are_read_and_lost_as_if_there_were_no_other_form(started, mixed):
    model, reader = started
    letters = [task for task in mixed if reader.told(task) in reader.tokens]
    samples = [task.sample for task in letters]
    (inputs,) = reader.ready([letters])
    assert inputs.answers == [[reader.tokens["B"]]] * 3
    for name, tensor in reader.encode(samples).items():
        assert torch.equal(inputs.tensors[name], tensor)
    targets = torch.tensor([ids[0] for ids in inputs.answers])
    summed = cross_entropy(last_logits(model, reader.inputs(samples)), targets, reduction="sum")
    assert one_step(model, reader, letters, 3).loss == (summed / 3).item()
    gradient(model)


def test_an_answer_of_several_tokens_is_read_but_for_its_end(started, mixed):
    _, reader = started
    tokenizer = reader.processor.tokenizer
    (inputs,) = reader.ready([mixed])
    bare = reader.encode([task.sample for task in mixed])["attention_mask"].sum(dim=1)
    for task, ids, row, length, prompt in zip(
        mixed, inputs.answers, inputs.tensors["input_ids"], inputs.lengths, bare, strict=True
    ):
        told = reader.told(task)
        ends = [] if told in reader.tokens else [tokenizer.eos_token]
        assert tokenizer.convert_ids_to_tokens(ids) == [*told, *ends]
        assert length == prompt + len(ids) - 1
        assert row[prompt:length].tolist() == ids[:-1]
    assert single_tokens(tokenizer, reader.backbone, "AB") == {k: reader.tokens[k] for k in "AB"}
