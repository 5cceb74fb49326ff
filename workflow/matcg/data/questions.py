"""Single-choice questions: options read from text, or drawn anew from a subset's labels."""

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from matcg.config.reader_options import Rebuild
from matcg.data.split import letters
from matcg.errors import DataError
from matcg.samples import LETTERS, Sample
from matcg.seeds import derive

_OPTION = re.compile(r"\s*\(?([A-Z])\)?\s*[:.)]\s*(\S.*?)\s*$")
_LETTER = re.compile(r"\s*\(?([A-Z])\)?\s*(?:[:.)]\s*(.*?)\s*)?$", re.DOTALL)


@lru_cache(4096)
def tidy(text: str) -> str:
    """Return `text` with every run of white space as one blank, none at the ends."""
    return " ".join(text.split())


@lru_cache(4096)
def normal(text: str) -> str:
    """Return `text` without what tells no labels apart: case, spaces, punctuation at the end."""
    plain = tidy(text)
    return (plain.rstrip(" .,;:!?") or plain).casefold()


def parse_options(text: str) -> tuple[str, ...]:
    """Return the options of a question written as the question, then `A: x` or `A. x` lines.

    At most one line (the request for a letter) may follow the options, so that an option broken
    over two lines is noticed rather than cut.

    Raises:
        ValueError: no such block of at least two options, or an option given twice.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    found = [_option(line) for line in lines]
    starts = [at for at, (letter, _) in enumerate(found) if letter == "A"]
    # The question itself may begin like an option ("A. B. was admitted ..."), hence the last one.
    options = _run(found[starts[-1] :]) if starts else []
    if len(options) < 2:
        raise ValueError("fewer than two lines 'A: ...', 'B: ...'")
    if len(lines) - starts[-1] - len(options) > 1:
        raise ValueError(f"lines that are no option after '{LETTERS[len(options) - 1]}'")
    if len(set(map(normal, options))) < len(options):
        raise ValueError("an option is given twice")
    return tuple(options)


@lru_cache(4096)
def _option(line: str) -> tuple[str, str]:
    """Return letter and text of a line, empty where it is no option.

    Remembered, since few lines make up the blocks of options of a whole subset.
    """
    match = _OPTION.match(line)
    return (match[1], tidy(match[2])) if match else ("", "")


def _run(found: Sequence[tuple[str, str]]) -> list[str]:
    """Return the option texts as long as the letters go on A, B, C ..."""
    options: list[str] = []
    for letter, (given, text) in zip(LETTERS, found, strict=False):
        if given != letter:
            break
        options.append(text)
    return options


@lru_cache(4096)
def parse_letter(text: str) -> tuple[int, str]:
    """Return the index and the text ("" where there is none) of "B", "B.", "(B)" or "B: x".

    Raises:
        ValueError: none of these forms.
    """
    match = _LETTER.match(text)
    if match is None:
        raise ValueError(f"'{tidy(text)[:40]}' is no option letter")
    return LETTERS.index(match[1]), tidy(match[2] or "")


def rebuild(samples: Sequence[Sample], names: Sequence[str], how: Rebuild) -> list[Sample]:
    """Return the samples, in their order, each with its label among others of the subset.

    Distractors and instruction depend on the sample alone, the position of the right answer also on
    those before it: each letter is right equally often (paper, section on data; its own draws are
    not published).

    Raises:
        DataError: there is but one label.
    """
    if len(names) < 2:
        raise DataError(
            f"options cannot be rebuilt: the only label is '{' '.join(names)}'; a question needs a"
            " wrong answer too, so leave option `rebuild` out"
        )
    n = min(how.options, len(names))
    labels = [each.label for each in samples]
    ids = [each.sample_id for each in samples]
    places = letters(labels, n, ids, how.seed)
    return [
        _rebuilt(each, place, n, names, how) for each, place in zip(samples, places, strict=True)
    ]


def _rebuilt(sample: Sample, place: int, n: int, names: Sequence[str], how: Rebuild) -> Sample:
    others = [name for name in names if name != sample.label]
    chance = random.Random(derive(how.seed, "options", sample.sample_id))
    options = chance.sample(others, n - 1)
    options.insert(place, sample.label)
    question = sample.question
    if how.instructions:
        at = derive(how.seed, "instruction", sample.sample_id) % len(how.instructions)
        question = how.instructions[at]
    return replace(sample, options=tuple(options), answer=place, question=question)
