"""The options of a question as a release writes them: `A: ...`, `B: ...`, and what may follow."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from matcg.forms.choice import INSTRUCTION, OPTION_LETTERS, normal
from matcg.words import one_form, seen, tidy

_OPTION = re.compile(r"\s*\(?([A-Z])\)?\s*([:.)])\s*(\S.*?)\s*$")
_LETTER = re.compile(r"\s*\(?([A-Z])\)?\s*(?:[:.)]\s*(.*?)\s*)?$", re.DOTALL)
# What may be meant as the first option: the letter, full-width or not, and any mark after it.
_MEANT = re.compile(
    r"\s*[\[({\uff08]?[Aa\uff21\uff41]\s*"
    r"([:.)\]}\uff09\uff1a\uff0e\u3001]|[^\w\s'\u2019](?=\s))"
)

Closes = Callable[[str], bool]


def parse_options(text: str, closes: Closes | None = None) -> tuple[str, ...]:
    """Return the options of a question written as the question, then `A: x` or `A. x` lines.

    `closes` tells whether what stands after the options, as one line, may stand there; left out,
    the release's sentence may. All else is refused: an option written otherwise, the rest of one.

    Raises:
        ValueError: no such block of at least two options, an option given twice, or lines around
            them that may be options too.
    """
    return split_options(text, closes)[1]


def split_options(text: str, closes: Closes | None = None) -> tuple[str, tuple[str, ...]]:
    """Return what stands before the options, and these.

    Raises:
        ValueError: as `parse_options`.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    found = [_option(line) for line in lines]
    starts = [at for at, (letter, *_) in enumerate(found) if letter == "A"]
    # The question itself may begin like an option ("A. B. was admitted ..."), hence the last one.
    options = _run(found[starts[-1] :]) if starts else []
    if len(options) < 2:
        raise ValueError("fewer than two lines 'A: ...', 'B: ...'")
    start, end = starts[-1], starts[-1] + len(options)
    # The question's own first line may look like an option; after a break it has been taken away.
    asked = 0 if text[:1] in ("\n", "\r") else 1
    for at, line in enumerate(lines[:start]):
        meant = _MEANT.match(line)
        if meant and (at >= asked or meant[1] == found[start][1]):
            raise ValueError(f"before option 'A' stands what may be one: '{_short(line)}'")
    rest = tidy(" ".join(lines[end:]))
    if rest and not (closes(rest) if closes else normal(rest) == normal(INSTRUCTION)):
        last = OPTION_LETTERS[len(options) - 1]
        raise ValueError(
            f"after option '{last}' stands neither an option nor what option `closing` of the"
            f" reader says: '{_short(rest)}'"
        )
    plain = set(map(normal, options))
    if "" in plain:
        raise ValueError("an option is empty")
    if len(plain) < len(options):
        raise ValueError("an option is given twice")
    return tidy(" ".join(lines[:start])), tuple(options)


def _short(text: str) -> str:
    return tidy(text)[:60]


@lru_cache(4096)
def _option(line: str) -> tuple[str, str, str]:
    """Return letter, mark and text of a line, empty where it is no option.

    Remembered, since few lines make up the blocks of options of a whole subset.
    """
    match = _OPTION.match(seen(line))
    return (match[1], match[2], tidy(match[3])) if match else ("", "", "")


def _run(found: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return the option texts as long as the letters go on A, B, C ..."""
    options: list[str] = []
    for letter, (given, _, text) in zip(OPTION_LETTERS, found, strict=False):
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
    match = _LETTER.match(one_form(text))
    if match is None:
        raise ValueError(f"'{tidy(text)[:40]}' is no option letter")
    return OPTION_LETTERS.index(match[1]), tidy(match[2] or "")


def place_among(choices: tuple[str, ...], text: str) -> int | None:
    """Return which option a text is, but for case and final punctuation."""
    if text in choices:
        return choices.index(text)
    alike = [at for at, choice in enumerate(choices) if normal(choice) == normal(text)]
    return alike[0] if alike else None
