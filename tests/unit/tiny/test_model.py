"""The tiny backbone's rows for places, and what of it says what it reads."""

import torch

from matcg.tiny.lessons import Lexicon
from matcg.tiny.model import PLACES, add_places, make_model, make_tokenizer, widen


def test_words_of_no_stage_are_said_as_they_are_read_and_all_others_as_before():
    tokenizer = make_tokenizer()
    model, said = make_model(tokenizer, 0), Lexicon(tokenizer).said
    read, spoken = model.get_input_embeddings(), model.get_output_embeddings()
    old_read, old_spoken = read.weight.detach().clone(), spoken.weight.detach().clone()
    add_places(tokenizer)
    widen(model, len(tokenizer), said, 0)
    read, spoken = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    kept = sorted(said)
    others = [i for i in range(len(tokenizer)) if i not in said]
    assert torch.equal(spoken[kept], old_spoken[kept])
    assert torch.equal(read[: len(old_read)], old_read)
    scale = (spoken[others] / read[others]).detach()
    assert torch.allclose(scale, scale[0, 0].expand_as(scale))
    near, far = (read[-len(PLACES)] @ read[-len(PLACES) + gap] for gap in (1, 24))
    assert near > 3 * far.abs()
