"""Numbers in words, and the one form in which words are compared."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Collection, Sequence
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


LONGEST = 60  # of an id


def as_id(values: Sequence[str], taken: Collection[str]) -> str:
    """Return a short name of letters and digits, of these values, that nothing else has."""
    parts = [re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-") for value in values]
    name = "-".join(filter(None, parts))
    if all(parts) and len(name) <= LONGEST and name not in taken:
        return name
    end = hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()[:8]
    return f"{name[: LONGEST - 1 - len(end)].rstrip('-')}-{end}".lstrip("-")


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
