"""Makes the tiny backbone: letter binding on text, then seeing, then both together.

Option letters are not learnt from pictures in one stage: a model of this size stays at chance. In
stages every step is easy.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from matcg.errors import DataError
from matcg.models.families.llava import name_as_published
from matcg.provenance import describe
from matcg.seeds import derive
from matcg.tiny.exam import LONGEST, accuracy, overlap
from matcg.tiny.lessons import (
    IGNORE,
    Bank,
    Lexicon,
    Seen,
    Sequence,
    ask,
    bind,
    collate,
    pixels,
    place,
    point,
)
from matcg.tiny.model import add_places, make_model, make_processor, make_tokenizer, widen
from matcg.tiny.spots import SHARPNESS, Spots

BANK = 60_000


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage's length and speed."""

    steps: int
    batch: int
    learning_rate: float


BIND = Stage(steps=400, batch=48, learning_rate=1.5e-3)
SEE = Stage(steps=9000, batch=128, learning_rate=2e-3)
ANSWER = Stage(steps=2400, batch=64, learning_rate=1e-3)
PLACE = Stage(steps=2000, batch=128, learning_rate=1e-3)
POINT = Stage(steps=2000, batch=48, learning_rate=1e-3)
# Held-out accuracy and IoU below which a backbone is not worth shipping.
QUALITY = {"all": 0.9, "boxes": 0.6}

Report = Callable[[int, float], None]


def answer_loss(model: LlavaForConditionalGeneration, batch: dict[str, Tensor]) -> Tensor:
    """Return the mean over answers of the mean cross-entropy of their tokens.

    Logits are made at those places only.
    """
    labels, shares = batch.pop("labels"), batch.pop("shares")
    hidden = model.model(**batch, use_cache=False).last_hidden_state
    chosen = labels != IGNORE
    losses = functional.cross_entropy(
        model.lm_head(hidden[chosen]), labels[chosen], reduction="none"
    )
    return (losses * shares[chosen]).sum() / shares.sum()


def _train(
    parameters: list[nn.Parameter],
    stage: Stage,
    loss_at: Callable[[], Tensor],
    report: Report,
) -> None:
    """Minimise `loss_at` with AdamW, warm-up over 5 % and a cosine to a tenth."""
    optimiser = torch.optim.AdamW(
        parameters, lr=stage.learning_rate, weight_decay=0.01, betas=(0.9, 0.98)
    )
    for step in range(stage.steps):
        warm = min(1.0, (step + 1) / (0.05 * stage.steps))
        cosine = 0.55 + 0.45 * math.cos(math.pi * step / stage.steps)
        optimiser.param_groups[0]["lr"] = stage.learning_rate * warm * cosine
        loss = loss_at()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if step % 50 == 0 or step == stage.steps - 1:
            report(step, loss.item())


def learn_letters(
    model: LlavaForConditionalGeneration, lexicon: Lexicon, rng: np.random.Generator, report: Report
) -> None:
    """Stage 1, on text alone: options of one token first, then of up to three."""
    step = 0

    def loss() -> Tensor:
        nonlocal step
        step += 1
        longest = 1 if step < BIND.steps * 0.15 else 3
        return answer_loss(
            model, collate([bind(rng, lexicon, longest) for _ in range(BIND.batch)], lexicon)
        )

    _train(language(model), BIND, loss, report)


def learn_to_see(
    model: LlavaForConditionalGeneration,
    lexicon: Lexicon,
    rng: np.random.Generator,
    bank: Bank,
    report: Report,
) -> None:
    """Stage 2: the mean image token comes to lie near the embeddings of the words that hold."""
    words = word_vectors(model, lexicon)

    def loss() -> Tensor:
        seen = bank.pick(rng, SEE.batch)
        return sight_loss(image_tokens(model, pixels(seen.images)), words, seen)

    _train(sight(model), SEE, loss, report)


def learn_places(
    model: LlavaForConditionalGeneration,
    lexicon: Lexicon,
    rng: np.random.Generator,
    bank: Bank,
    report: Report,
) -> None:
    """Stage 4: image tokens come to say where the form is, besides the words that hold."""
    words = word_vectors(model, lexicon)
    spots = Spots(model.get_input_embeddings().weight.detach()[lexicon.places])

    def loss() -> Tensor:
        seen = bank.pick(rng, PLACE.batch)
        tokens = image_tokens(model, pixels(seen.images))
        told: Tensor = spots(tokens, seen)
        return sight_loss(tokens, words, seen) + told

    _train([*sight(model), *spots.parameters()], PLACE, loss, report)


def word_vectors(model: LlavaForConditionalGeneration, lexicon: Lexicon) -> dict[str, Tensor]:
    """Return by attribute the sum of each word's token embeddings (words, width)."""
    table = model.get_input_embeddings().weight.detach()
    return {
        name: torch.stack([table[ids].sum(dim=0) for ids in words])
        for name, words in lexicon.words.items()
    }


def sight_loss(tokens: Tensor, words: dict[str, Tensor], seen: Seen) -> Tensor:
    """Return the mean cross-entropy of telling each attribute's word from the mean image token."""
    features = tokens.mean(dim=1)
    there = torch.from_numpy(seen.values["presence"] == 0)
    losses = []
    for name, vectors in words.items():
        scores = features @ vectors.T / SHARPNESS
        truth = torch.from_numpy(seen.values[name])
        rows = slice(None) if name == "presence" else there
        losses.append(functional.cross_entropy(scores[rows], truth[rows]))
    return torch.stack(losses).mean()


def image_tokens(model: LlavaForConditionalGeneration, images: Tensor) -> Tensor:
    """Return the projected image tokens (n, 16, width)."""
    features = model.model.get_image_features(pixel_values=images, return_dict=True)
    return torch.stack(list(features.pooler_output))


def learn_to_answer(
    model: LlavaForConditionalGeneration,
    lexicon: Lexicon,
    rng: np.random.Generator,
    bank: Bank,
    report: Report,
) -> None:
    """Stage 3: several questions a picture, by letter and in words, with text mixed in."""

    def loss() -> Tensor:
        seen = bank.pick(rng, ANSWER.batch)
        asked = [ask(rng, lexicon, seen.truth(at), 3, free=0.25) for at in range(ANSWER.batch)]
        shown = collate(asked, lexicon) | {"pixel_values": pixels(seen.images)}
        read = collate([bind(rng, lexicon, longest=3) for _ in range(ANSWER.batch // 4)], lexicon)
        return answer_loss(model, shown) + 0.3 * answer_loss(model, read)

    _train(list(model.parameters()), ANSWER, loss, report)


def learn_to_point(
    model: LlavaForConditionalGeneration,
    lexicon: Lexicon,
    rng: np.random.Generator,
    bank: Bank,
    report: Report,
) -> None:
    """Stage 5: two questions for boxes a picture, among masks, stage 3 and text."""
    few, fewer = POINT.batch // 3, POINT.batch // 6

    def located(form: str, n: int, turns: int) -> dict[str, Tensor]:
        seen, sequences = bank.pick(rng, n), [Sequence() for _ in range(n)]
        for at, sequence in enumerate(sequences):
            for turn in range(turns):
                point(sequence, lexicon, place(rng, form, seen, at), image=turn == 0)
        return collate(sequences, lexicon) | {"pixel_values": pixels(seen.images)}

    def loss() -> Tensor:
        framed, traced = located("boxes", POINT.batch, 2), located("mask", fewer, 1)
        seen = bank.pick(rng, few)
        asked = [ask(rng, lexicon, seen.truth(at), 3, free=0.25) for at in range(few)]
        shown = collate(asked, lexicon) | {"pixel_values": pixels(seen.images)}
        read = collate([bind(rng, lexicon, longest=3) for _ in range(fewer)], lexicon)
        side = answer_loss(model, traced) + answer_loss(model, read)
        return answer_loss(model, framed) + answer_loss(model, shown) + 0.3 * side

    _train(list(model.parameters()), POINT, loss, report)


def language(model: LlavaForConditionalGeneration) -> list[nn.Parameter]:
    """Return the parameters of the language model and its head."""
    head = model.get_output_embeddings()
    return [*model.model.language_model.parameters(), *head.parameters()]


def sight(model: LlavaForConditionalGeneration) -> list[nn.Parameter]:
    """Return the parameters of the vision tower and the projector."""
    parts = (model.model.vision_tower, model.model.multi_modal_projector)
    return [parameter for part in parts for parameter in part.parameters()]


def save_backbone(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, out: Path
) -> None:
    """Write weights and processor to `out`, under the names that vLLM reads."""
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    make_processor(tokenizer).save_pretrained(out)
    name_as_published(out / "model.safetensors")


def make(out: Path, seed: int, threads: int) -> None:
    """Make the tiny backbone from nothing; write weights, processor and training.json to `out`.

    Raises:
        DataError: it answers fewer than `QUALITY` of the held-out questions.
    """
    torch.set_num_threads(threads)
    start = time.perf_counter()
    rng = np.random.default_rng(derive(seed, "backbone"))
    tokenizer = make_tokenizer()
    lexicon = Lexicon(tokenizer)
    model = make_model(tokenizer, seed)
    bank = Bank(rng, BANK)
    rows: list[dict[str, float | str]] = []

    def report(stage: str) -> Report:
        def note(step: int, loss: float) -> None:
            seconds = round(time.perf_counter() - start)
            rows.append({"stage": stage, "step": step, "loss": loss, "seconds": seconds})
            print(f"{seconds:5d} s  {stage} step {step}: loss {loss:.3f}", flush=True)

        return note

    learn_letters(model, lexicon, rng, report("letters"))
    learn_to_see(model, lexicon, rng, bank, report("sight"))
    learn_to_answer(model, lexicon, rng, bank, report("answers"))
    add_places(tokenizer)
    widen(model, len(tokenizer), lexicon.said, seed)
    lexicon, rng = Lexicon(tokenizer), np.random.default_rng(derive(seed, "backbone", "places"))
    learn_places(model, lexicon, rng, bank, report("places"))
    learn_to_point(model, lexicon, rng, bank, report("pointing"))
    seen = bank.held_out()
    rates = accuracy(model, lexicon, seen, seed)
    for form in LONGEST:
        rates[form] = overlap(model, tokenizer, lexicon, seen, seed, form)
    print(f"held-out accuracy, IoU of boxes and Dice of masks: {rates}", flush=True)
    for name, least in QUALITY.items():
        if rates[name] < least:
            raise DataError(
                f"the backbone reaches {rates[name]:.1%} of '{name}' on held-out pictures, less"
                f" than {least:.0%}; give the stages of {Path(__file__).name} more steps"
            )
    save_backbone(model, tokenizer, out)
    record = describe(step="backbone", seed=seed, accuracy=rates, loss=rows)
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
