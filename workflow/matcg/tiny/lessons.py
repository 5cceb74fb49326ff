"""What the tiny backbone learns from: sequences with answers to give, and a bank of pictures.

Source of the pictures and words: `matcg.tiny.shapes` alone.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from matcg.forms.choice import INSTRUCTION, OPTION_LETTERS
from matcg.tiny.model import PATCH
from matcg.tiny.shapes import ATTRIBUTES, SIDE, draw_shapes

IGNORE = -100
IMAGE_TOKENS = (SIDE // PATCH) ** 2
OPTIONS = 4
QUERIES = 8


class Lexicon:
    """Token ids of every piece that sequences are put together from.

    White space is no token, so the ids of a text are those of its pieces, one after another.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        def ids(text: str) -> list[int]:
            return list(tokenizer(text, add_special_tokens=False)["input_ids"])

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

    def options(self, options: list[list[int]]) -> list[int]:
        """Return the tokens of an option list, a letter and a colon before each."""
        rows = zip(self.letters, options, strict=False)
        return [i for letter, option in rows for i in (*letter, *self.colon, *option)]


class Sequence:
    """Tokens with the places at which an answer is to be given."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.labels: list[int] = []

    def say(self, *pieces: list[int]) -> None:
        """Add tokens that are given."""
        for piece in pieces:
            self.ids += piece
            self.labels += [IGNORE] * len(piece)

    def answer(self, piece: list[int]) -> None:
        """Add tokens that are to be predicted, each from the token before it."""
        self.labels[-1:] = [piece[0]]
        self.ids += piece
        self.labels += [*piece[1:], IGNORE]


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


def askable(values: dict[str, int]) -> list[str]:
    """Return the attributes that a picture can be asked for, the hard ones several times."""
    if values["presence"] != 0:
        return ["presence"]
    return [*values, "form", "form", "form", "scale"]


def pad(sequences: list[Sequence], pad_id: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, mask and labels (n, longest), padded on the right."""
    longest = max(len(s.ids) for s in sequences)
    ids = torch.full((len(sequences), longest), pad_id)
    labels = torch.full((len(sequences), longest), IGNORE)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence.ids)] = torch.tensor(sequence.ids)
        labels[row, : len(sequence.ids)] = torch.tensor(sequence.labels)
    return ids, (ids != pad_id).long(), labels


def pixels(images: NDArray[np.uint8]) -> Tensor:
    """Return grey images (n, 48, 48) as the processor would give them: (n, 3, 48, 48)."""
    values = (torch.from_numpy(images).float() / 255 - 0.5) / 0.25
    return values[:, None].expand(-1, 3, -1, -1)


def collate(sequences: list[Sequence], lexicon: Lexicon) -> dict[str, Tensor]:
    """Return a batch of padded ids, mask and labels."""
    ids, mask, labels = pad(sequences, lexicon.pad)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


class Bank:
    """Pictures drawn once and shown in ever new order; the last ones are held out."""

    HELD_OUT = 2000

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        parts = [draw_shapes(rng, 1000) for _ in range(size // 1000)]
        self.images = np.concatenate([images for images, _ in parts])
        self.values = {n: np.concatenate([values[n] for _, values in parts]) for n in ATTRIBUTES}

    def pick(
        self, rng: np.random.Generator, n: int
    ) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.int64]]]:
        """Return `n` pictures to learn from, mirrored, turned and inverted at random.

        The words that hold change with the picture: mirrored, west becomes east.
        """
        places = rng.integers(len(self.images) - self.HELD_OUT, size=n)
        images = self.images[places]
        values = {name: given[places] for name, given in self.values.items()}
        mirrored, flipped, turned, inverted = rng.random((4, n)) < 0.5
        images[mirrored] = images[mirrored][:, :, ::-1]
        images[flipped] = images[flipped][:, ::-1]
        images[turned] = images[turned].transpose(0, 2, 1)
        images[inverted] = 255 - images[inverted]
        column, row = values["column"] ^ mirrored, values["row"] ^ flipped
        values["column"] = np.where(turned, row, column)
        values["row"] = np.where(turned, column, row)
        values["shade"] = values["shade"] ^ inverted
        return images, values

    def truth(self, place: int) -> dict[str, int]:
        """Return the attributes of one picture."""
        return {name: int(values[place]) for name, values in self.values.items()}
