"""Single-choice questions as text: which options a question offers and which letter answers it."""

import re
from collections.abc import Sequence

from matcg.samples import LETTERS

_OPTION = re.compile(r"\s*\(?([A-Z])\)?\s*[:.)]\s*(\S.*?)\s*$")
_LETTER = re.compile(r"\s*\(?([A-Z])\)?\s*(?:[:.)]\s*(.*?)\s*)?$", re.DOTALL)


def tidy(text: str) -> str:
    """Return `text` with every run of white space as one blank, none at the ends."""
    return " ".join(text.split())


def parse_options(text: str) -> tuple[str, ...]:
    """Return the options of a question written as the question, then `A: x` or `A. x` lines.

    At most one line (the request for a letter) may follow the options, so that an option broken
    over two lines is noticed rather than cut.

    Raises:
        ValueError: no such block of at least two options, or an option given twice.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    found = [_OPTION.match(line) for line in lines]
    starts = [at for at, match in enumerate(found) if match and match[1] == "A"]
    # The question itself may begin like an option ("A. B. was admitted ..."), hence the last one.
    options = _run(found[starts[-1] :]) if starts else []
    if len(options) < 2:
        raise ValueError("fewer than two lines 'A: ...', 'B: ...'")
    if len(lines) - starts[-1] - len(options) > 1:
        raise ValueError(f"lines that are no option after '{LETTERS[len(options) - 1]}'")
    if len(set(options)) < len(options):
        raise ValueError("an option is given twice")
    return tuple(options)


def _run(found: Sequence[re.Match[str] | None]) -> list[str]:
    """Return the option texts as long as the letters go on A, B, C ..."""
    options: list[str] = []
    for letter, match in zip(LETTERS, found, strict=False):
        if match is None or match[1] != letter:
            break
        options.append(tidy(match[2]))
    return options


def parse_letter(text: str) -> tuple[int, str]:
    """Return the index and the text ("" where there is none) of "B", "B.", "(B)" or "B: x".

    Raises:
        ValueError: none of these forms.
    """
    match = _LETTER.match(text)
    if match is None:
        raise ValueError(f"'{tidy(text)[:40]}' is no option letter")
    return LETTERS.index(match[1]), tidy(match[2] or "")
