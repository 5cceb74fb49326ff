"""Prompts as token ids in which text of the data has no special token, only its characters.

A tokeniser looks for special tokens before all else. Where text of the data holds one, a sign is
put into it, by which it is none any more, and a copy of the tokeniser drops the sign afterwards. So
the ids are those of the characters, where they stand, and all other prompts have the ids they had.
"""

import copy
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer

from matcg.errors import DataError
from matcg.literal import of_data, unmarked

_SIGN = "\ufdd2"
# What the processors of Qwen's models put where pictures go before they put tokens there.
_PLACEHOLDERS = ("<|placeholder|>",)


@lru_cache(8)
def _specials(tokenizer: Any) -> re.Pattern[str]:
    """Return what finds a special token wherever one begins, overlapping ones too."""
    texts = sorted(specials(tokenizer), key=len, reverse=True)
    return re.compile(f"(?=({'|'.join(map(re.escape, texts))}))")


def specials(tokenizer: Any) -> set[str]:
    """Return the texts that a tokeniser takes for special tokens."""
    known = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
    return {text for text in known | {*_PLACEHOLDERS} if len(text) > 1}


def plain(tokenizer: Any, text: str) -> str:
    """Return a text with its marks taken out, and signs in special tokens that data make up.

    A text without these is the text without marks.
    """
    shown, data = unmarked(text), list(of_data(text))
    if shown == text:
        return text
    found = [
        match.start() + 1
        for match in _specials(tokenizer).finditer(shown)
        if any(match.start() < end and match.end(1) > start for start, end in data)
    ]
    parts = zip([0, *found], [*found, len(shown)], strict=True)
    return _SIGN.join(shown[start:end] for start, end in parts)


@lru_cache(8)
def _blind(tokenizer: Any) -> Any:
    """Return a copy of a tokeniser that drops signs once it has looked for special tokens."""
    clone = copy.deepcopy(tokenizer)
    known = json.loads(clone.backend_tokenizer.to_str())
    for token in known["added_tokens"]:
        # These would be looked for again where the signs are gone.
        token["normalized"] = token["normalized"] and not token["special"]
    drop = {"type": "Replace", "pattern": {"String": _SIGN}, "content": ""}
    own = [known["normalizer"]] if known["normalizer"] else []
    known["normalizer"] = {"type": "Sequence", "normalizers": [drop, *own]}
    clone._tokenizer = Tokenizer.from_str(json.dumps(known))
    return clone


def reader_of(processor: Any, texts: Sequence[str]) -> Any:
    """Return what makes model inputs of texts that `plain` gave: the processor where it can."""
    if not any(_SIGN in text for text in texts):
        return processor
    reader = copy.copy(processor)
    reader.tokenizer = _blind(processor.tokenizer)
    return reader


def encode(tokenizer: Any, text: str, add_special_tokens: bool = False) -> list[int]:
    """Return the token ids of a text with marks; pictures are one token each, as in the prompt."""
    return encode_all(tokenizer, [text], add_special_tokens)[0]


def encode_all(
    tokenizer: Any, texts: Sequence[str], add_special_tokens: bool = False
) -> list[list[int]]:
    """Return the same of several texts."""
    told = [plain(tokenizer, text) for text in texts]
    reader = _blind(tokenizer) if any(_SIGN in text for text in told) else tokenizer
    ids: list[list[int]] = reader(told, add_special_tokens=add_special_tokens)["input_ids"]
    return ids


def is_signed(tokenizer: Any, text: str) -> bool:
    """Tell whether data make up a special token in a text with marks."""
    return _SIGN in plain(tokenizer, text)


def check_characters(tokenizer: Any, text: str, sample_id: str) -> None:
    """Check that a text with marks has no special token but those of the prompt.

    Raises:
        DataError: the tokeniser knows no other way to write one.
    """
    if not is_signed(tokenizer, text):
        return
    special = {n for n, t in tokenizer.added_tokens_decoder.items() if t.special}
    left = _without_data(text)
    found, meant = (
        [n for n in ids if n in special]
        for ids in (encode(tokenizer, text), encode(tokenizer, left))
    )
    if found != meant:
        raise DataError(
            f"sample {sample_id}: its text holds a special token of the tokeniser, which has no"
            " other way to write it; leave the row out, or write the text otherwise"
        )


def _without_data(text: str) -> str:
    shown, parts, end = unmarked(text), [], 0
    for start, stop in of_data(text):
        parts.append(shown[end:start])
        end = stop
    return "".join([*parts, shown[end:]])
