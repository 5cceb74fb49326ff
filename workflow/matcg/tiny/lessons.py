"""What the tiny backbone learns from: sequences with answers to give, and a bank of pictures.

Source of the pictures and words: `matcg.tiny.shapes` alone.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerFast

from matcg import forms
from matcg.forms import View
from matcg.forms.choice import INSTRUCTION, OPTION_LETTERS
from matcg.geometry import box_around, encoded
from matcg.samples import Finding, Sample
from matcg.tiny.model import PATCH, PLACES
from matcg.tiny.shapes import ATTRIBUTES, FORMS, POINTING, SIDE, boxes_of, draw_shapes

IGNORE = -100
IMAGE_TOKENS = (SIDE // PATCH) ** 2
OPTIONS = 4
QUERIES = 8
SYLLABLES = [first + then for first in "bdfgklmnprstvz" for then in ("a", "e", "i", "on", "us")]
VIEW = View(SIDE, "squash", "tiny")


class Lexicon:
    """Token ids of every piece that sequences are put together from.

    White space is no token, so the ids of a text are those of its pieces, one after another.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        def ids(text: str) -> list[int]:
            return list(tokenizer(text, add_special_tokens=False)["input_ids"])

        self.ids = ids
        self.end = tokenizer.eos_token
        self.places = [tokenizer.convert_tokens_to_ids(place) for place in PLACES]
        self.letters = [ids(letter) for letter in OPTION_LETTERS[:OPTIONS]]
        if any(len(letter) != 1 for letter in self.letters):
            raise ValueError("every option letter must be one token")
        self.colon = ids(":")
        self.user = ids("USER:")
        self.assistant = ids("ASSISTANT:")
        self.instruction = ids(INSTRUCTION)
        self.image = [tokenizer.convert_tokens_to_ids("<image>")] * IMAGE_TOKENS
        self.pad = int(tokenizer.pad_token_id)
        self.questions = {n: [ids(q) for q in a.questions] for n, a in ATTRIBUTES.items()}
        self.words = {n: [ids(w) for w in a.words] for n, a in ATTRIBUTES.items()}
        reserved = {i for letter in self.letters for i in letter} | set(range(4))
        self.any = np.array([i for i in range(len(tokenizer)) if i not in reserved])
        words = {i for each in self.words.values() for word in each for i in word}
        self.said = reserved | words  # what answers of the first three stages are made of

    def asked(self, sample: Sample) -> list[int]:
        """Return the tokens of a question as fine-tuning asks it."""
        return self.ids(forms.of(sample).question(sample, VIEW))

    def options(self, options: list[list[int]]) -> list[int]:
        """Return the tokens of an option list, a letter and a colon before each."""
        rows = zip(self.letters, options, strict=False)
        return [i for letter, option in rows for i in (*letter, *self.colon, *option)]


class Sequence:
    """Tokens with the places at which an answer is to be given."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.labels: list[int] = []
        self.shares: list[float] = []  # of each answer's loss: all answers count alike

    def say(self, *pieces: list[int]) -> None:
        """Add tokens that are given."""
        for piece in pieces:
            self.ids += piece
            self.labels += [IGNORE] * len(piece)
            self.shares += [0.0] * len(piece)

    def answer(self, piece: list[int]) -> None:
        """Add tokens that are to be predicted, each from the token before it."""
        self.labels[-1:] = [piece[0]]
        self.ids += piece
        self.labels += [*piece[1:], IGNORE]
        self.shares[-1:] = [1 / len(piece)] * len(piece)
        self.shares.append(0.0)


def bind(rng: np.random.Generator, lexicon: Lexicon, longest: int) -> Sequence:
    """Return options of random tokens, then asked for by their words."""
    sequence = Sequence()
    options = _random_options(rng, lexicon, longest)
    sequence.say(lexicon.user, lexicon.options(options), lexicon.instruction)
    for i in rng.integers(len(options), size=QUERIES):
        sequence.say(options[i], lexicon.assistant)
        sequence.answer(lexicon.letters[i])
    return sequence


def _random_options(rng: np.random.Generator, lexicon: Lexicon, longest: int) -> list[list[int]]:
    """Return 2 to 4 different options of random tokens, some sharing tokens as real labels do."""
    found: list[list[int]] = []
    target = int(rng.integers(2, OPTIONS + 1))
    while len(found) < target:
        places = rng.integers(len(lexicon.any), size=int(rng.integers(1, longest + 1)))
        option = [int(i) for i in lexicon.any[places]]
        if longest > 1 and found and rng.random() < 0.2:
            shared = found[int(rng.integers(len(found)))]
            option = [*option[:1], *shared] if rng.random() < 0.5 else [*shared[:1], *option]
        if option not in found:
            found.append(option)
    return found


def ask(
    rng: np.random.Generator,
    lexicon: Lexicon,
    values: dict[str, int],
    turns: int,
    free: float,
    only: str | None = None,
) -> Sequence:
    """Return a picture with several questions on it; the share `free` is answered in words."""
    sequence = Sequence()
    names = [only] if only else askable(values)
    for turn in range(turns):
        name = names[int(rng.integers(len(names)))]
        questions = lexicon.questions[name]
        sequence.say(lexicon.user, lexicon.image if turn == 0 else [])
        sequence.say(questions[int(rng.integers(len(questions)))])
        truth, words = values[name], lexicon.words[name]
        if rng.random() < free:
            sequence.say(lexicon.assistant)
            sequence.answer(words[truth])
            continue
        others = [i for i in rng.permutation(len(words)) if i != truth][: OPTIONS - 1]
        shown = [int(i) for i in rng.permutation([truth, *others])]
        sequence.say(lexicon.options([words[i] for i in shown]), lexicon.instruction)
        sequence.say(lexicon.assistant)
        sequence.answer(lexicon.letters[shown.index(truth)])
    return sequence


def place(rng: np.random.Generator, form: str, seen: "Seen", at: int) -> Sample:
    """Return the question where the form of a picture is, to be answered in a form of answer.

    The form has its own name among others, or a made-up one that only the question says.
    """
    shown = FORMS[seen.values["form"][at]]
    labels = [shown, *rng.permutation([w for w in FORMS if w != shown])[: rng.integers(1, 4)]]
    if rng.random() < 0.6:
        labels = ["".join(rng.choice(SYLLABLES, size=rng.integers(1, 3)))]
    mask = encoded(seen.masks[at])
    found = Finding(str(labels[0]), box_around(mask, (SIDE, SIDE)), mask)
    return Sample(
        *("", "", b"", "", ""),
        question=str(rng.choice(POINTING)),
        options=tuple(sorted(map(str, labels))),
        answer=0,
        label="",
        dataset="",
        findings=() if seen.values["presence"][at] else (found,),
        size=(SIDE, SIDE),
        form=form,
    )


def point(sequence: Sequence, lexicon: Lexicon, sample: Sample, image: bool) -> None:
    """Add a question about places, worded and answered as it is in fine-tuning."""
    form = forms.of(sample)
    sequence.say(lexicon.user, lexicon.image if image else [])
    sequence.say(lexicon.asked(sample), lexicon.assistant)
    sequence.answer(lexicon.ids(form.told(sample, form.truth(sample), VIEW) + lexicon.end))


def askable(values: dict[str, int]) -> list[str]:
    """Return the attributes that a picture can be asked for, the hard ones several times."""
    if values["presence"] != 0:
        return ["presence"]
    return [*values, "form", "form", "form", "scale"]


def pixels(images: NDArray[np.uint8]) -> Tensor:
    """Return grey images (n, 48, 48) as the processor would give them: (n, 3, 48, 48)."""
    values = (torch.from_numpy(images).float() / 255 - 0.5) / 0.25
    return values[:, None].expand(-1, 3, -1, -1)


def collate(sequences: list[Sequence], lexicon: Lexicon) -> dict[str, Tensor]:
    """Return a batch (n, longest) of ids, mask, labels and shares, padded on the right."""

    def padded(rows: list[list[int]] | list[list[float]], value: float) -> Tensor:
        return pad_sequence([torch.tensor(row) for row in rows], True, value)

    ids = padded([each.ids for each in sequences], lexicon.pad)
    return {
        "input_ids": ids,
        "attention_mask": (ids != lexicon.pad).long(),
        "labels": padded([each.labels for each in sequences], IGNORE),
        "shares": padded([each.shares for each in sequences], 0),
    }


@dataclass(frozen=True, slots=True)
class Seen:
    """Pictures (n, 48, 48), where their forms are (n, 48, 48), and what holds of each (n,)."""

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    values: dict[str, NDArray[np.int64]]

    @property
    def boxes(self) -> NDArray[np.int64]:
        """Return the outer box of each form (n, 4)."""
        return boxes_of(self.masks)

    def truth(self, at: int) -> dict[str, int]:
        """Return the attributes of one picture."""
        return {name: int(values[at]) for name, values in self.values.items()}


class Bank:
    """Pictures drawn once and shown in ever new order; the last ones are held out."""

    HELD_OUT = 2000

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        parts = [draw_shapes(rng, 1000) for _ in range(size // 1000)]
        self.images = np.concatenate([images for images, _, _ in parts])
        self.values = {n: np.concatenate([v[n] for _, v, _ in parts]) for n in ATTRIBUTES}
        self.masks = np.concatenate([np.packbits(masks, axis=2) for _, _, masks in parts])

    def at(self, places: NDArray[np.int64]) -> Seen:
        """Return pictures as they were drawn."""
        masks = np.unpackbits(self.masks[places], axis=2).astype(bool)
        return Seen(self.images[places], masks, {n: v[places] for n, v in self.values.items()})

    def held_out(self) -> Seen:
        """Return the pictures that are not learnt from."""
        return self.at(np.arange(len(self.images) - self.HELD_OUT, len(self.images)))

    def pick(self, rng: np.random.Generator, n: int) -> Seen:
        """Return `n` pictures to learn from, mirrored, turned and inverted at random.

        What holds changes with the picture: mirrored, west becomes east.
        """
        seen = self.at(rng.integers(len(self.images) - self.HELD_OUT, size=n))
        values = seen.values
        mirrored, flipped, turned, inverted = rng.random((4, n)) < 0.5
        for pictures in (seen.images, seen.masks):
            pictures[mirrored] = pictures[mirrored][:, :, ::-1]
            pictures[flipped] = pictures[flipped][:, ::-1]
            pictures[turned] = pictures[turned].transpose(0, 2, 1)
        seen.images[inverted] = 255 - seen.images[inverted]
        column, row = values["column"] ^ mirrored, values["row"] ^ flipped
        values["column"] = np.where(turned, row, column)
        values["row"] = np.where(turned, column, row)
        values["shade"] = values["shade"] ^ inverted
        return seen
