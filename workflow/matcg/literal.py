"""Text that is asked as the characters that it is made of, whatever a tokeniser takes it for.

Text of the data stands between two marks in a prompt, so that it can be told from the prompt's own,
whose special tokens are meant (`models/asked_text.py`). The marks are no characters of any text.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from matcg.samples import Finding, Sample

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
# One that was cut off reaches to the end.
_MARKED = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*)(?:{_CLOSE}|$)")


def marked(text: str) -> str:
    """Return text of the data between its marks."""
    return f"{_OPEN}{unmarked(text)}{_CLOSE}"


def unmarked(text: str) -> str:
    """Return text without marks."""
    return text.replace(_OPEN, "").replace(_CLOSE, "")


def marked_sample(sample: Sample) -> Sample:
    """Return a sample whose texts are marked."""
    return replace(
        sample,
        question=marked(sample.question),
        options=tuple(map(marked, sample.options)),
        findings=marked_answer(sample.findings),
    )


def marked_answer(answer: Any) -> Any:
    """Return an answer whose findings have marked labels; any other as it is."""
    if isinstance(answer, tuple):
        return tuple(map(marked_answer, answer))
    return replace(answer, label=marked(answer.label)) if isinstance(answer, Finding) else answer


def of_data(text: str) -> Iterator[tuple[int, int]]:
    """Yield where text of the data begins and ends, in the text without marks."""
    for n, match in enumerate(_MARKED.finditer(text)):
        yield match.start(1) - 2 * n - 1, match.end(1) - 2 * n - 1
