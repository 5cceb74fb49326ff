"""How good the tiny backbone is on pictures that it did not learn from."""

import numpy as np
import torch
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from matcg import forms
from matcg.forms import Reply, Wording
from matcg.samples import Sample
from matcg.tiny.lessons import IGNORE, VIEW, Lexicon, Seen, ask, collate, pixels, place
from matcg.tiny.shapes import ATTRIBUTES

LONGEST = {"boxes": 16, "mask": 160}  # tokens of an answer about one form


@torch.no_grad()
def accuracy(
    model: LlavaForConditionalGeneration, lexicon: Lexicon, seen: Seen, seed: int
) -> dict[str, float]:
    """Return the share of right letters to one question a held-out picture, by attribute."""
    rng = np.random.default_rng(seed)
    right: dict[str, list[bool]] = {name: [] for name in ATTRIBUTES}
    for at in range(len(seen.images)):
        truth = seen.truth(at)
        name = str(rng.choice([n for n in truth if n == "presence" or truth["presence"] == 0]))
        values = {name: truth[name], "presence": truth["presence"]}
        sequence = ask(rng, lexicon, values, turns=1, free=0.0, only=name)
        batch = collate([sequence], lexicon) | {"pixel_values": pixels(seen.images[[at]])}
        labels, _ = batch.pop("labels"), batch.pop("shares")
        logits = model(**batch).logits
        chosen = labels != IGNORE
        right[name].append(bool((logits[chosen].argmax(-1) == labels[chosen]).all()))
    rates = {name: float(np.mean(values)) for name, values in right.items()}
    return rates | {"all": float(np.mean([v for values in right.values() for v in values]))}


@torch.no_grad()
def overlap(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    lexicon: Lexicon,
    seen: Seen,
    seed: int,
    form: str,
) -> float:
    """Return the mean IoU of boxes, or Dice of masks, said freely of pictures with something."""
    rng = np.random.default_rng(seed)
    alike: dict[int, list[tuple[int, Sample, list[int]]]] = {}  # by length, to need no padding
    for at in np.flatnonzero(seen.values["presence"] == 0).tolist():
        sample = place(rng, form, seen, at)
        prompt = [*lexicon.user, *lexicon.image, *lexicon.asked(sample), *lexicon.assistant]
        alike.setdefault(len(prompt), []).append((at, sample, prompt))
    found = []
    for same in alike.values():
        places, samples, prompts = zip(*same, strict=True)
        said = model.generate(
            input_ids=torch.tensor(prompts),
            pixel_values=pixels(seen.images[list(places)]),
            max_new_tokens=LONGEST[form],
            do_sample=False,
        )
        texts = tokenizer.batch_decode(said[:, len(prompts[0]) :], skip_special_tokens=True)
        for sample, text in zip(samples, texts, strict=True):
            way = forms.of(sample)
            answered = way.read(sample, [(Wording("", "text", ()), Reply((), 0, text))], {}, VIEW)
            found.append(way.score(sample, answered)[way.main])
    return float(np.mean(found))
