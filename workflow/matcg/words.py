"""Numbers in words, and the one form in which words are compared."""

import re
import unicodedata
from functools import lru_cache


def fixed(value: float, decimals: int) -> str:
    """Return a number with so many decimals, and never a negative zero."""
    # Adding zero turns -0.0 into 0.0, which the sign of a rounding error must not decide.
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def in_percent(share: float) -> str:
    """Return a share as percent, with one decimal."""
    return fixed(100 * share, 1)


def counted(n: int, noun: str) -> str:
    """Return a number of things, with the noun in the right form."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


@lru_cache(4096)
def tidy(text: str) -> str:
    """Return `text` with every run of white space as one blank, none at the ends."""
    return " ".join(text.split())


# Zero-width marks, marks of byte order and direction, soft hyphens: characters that are not seen.
_SIGNS = r"\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
_UNSEEN, _FIRST = re.compile(f"[{_SIGNS}]+"), re.compile(rf"\A[\s{_SIGNS}]+")


def seen(text: str) -> str:
    """Return a text without what is not seen at its beginning."""
    return text if text.isascii() else _FIRST.sub("", text)


def one_form(text: str) -> str:
    """Return a text as it is compared: in Unicode's composed form, without what is not seen."""
    return text if text.isascii() else unicodedata.normalize("NFC", _UNSEEN.sub("", text))
