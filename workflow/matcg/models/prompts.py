"""What a model is asked and how its answer begins: the same in training and evaluation."""

from collections.abc import Iterable
from typing import Any

from PIL import Image

from matcg import forms
from matcg.config.backbone import Backbone
from matcg.errors import ConfigError
from matcg.forms import View
from matcg.images import decode, fit
from matcg.literal import unmarked
from matcg.models.asked_text import encode
from matcg.samples import Sample

# A token's first sign that stands for a space: as it is, in bytes (GPT-2), in SentencePiece.
_SPACES = " \u0120\u2581"


def prompt_of(sample: Sample, backbone: Backbone) -> str:
    """Return the whole text before the answer; that of a marked sample is marked (literal.py)."""
    return backbone.prompt.replace(
        "{question}", forms.of(sample).question(sample, view_of(backbone))
    )


def view_of(backbone: Backbone) -> View:
    """Return how a backbone sees a picture and writes places in it."""
    image = backbone.image
    return View(image.size, image.geometry, backbone.coordinates or "", backbone.masks)


def begins_itself(tokenizer: Any, backbone: Backbone) -> bool:
    """Return whether the prompt has the token that begins a text: the tokeniser adds it no more."""
    first = tokenizer.bos_token
    return bool(first) and backbone.prompt.startswith(first)


def picture_of(sample: Sample, backbone: Backbone) -> Image.Image:
    """Return the image as the backbone sees it: a square of its size in its geometry.

    Raises:
        DataError: the image cannot be decoded.
    """
    return seen(decode(sample.image, f"{sample.subset}, sample {sample.sample_id}"), backbone)


def seen(image: Image.Image, backbone: Backbone) -> Image.Image:
    """Return a decoded image as the backbone sees it."""
    how = backbone.image
    return fit(image, how.size, how.geometry, how.fill)


def single_tokens(tokenizer: Any, backbone: Backbone, texts: Iterable[str]) -> dict[str, int]:
    """Return the token of each text, such as an option's letter, as it follows the prompt.

    In context "A" may be another token than alone ("_A" after a colon for SentencePiece), so it is
    read off the tokenised prompt.

    Raises:
        ConfigError: one is not exactly one token there, so it can be neither trained on nor scored
            as one.
    """
    found = {}
    for text in texts:
        ids = answer_tokens(tokenizer, backbone, text)
        if len(ids) != 1:
            raise ConfigError(
                f"backbone {backbone.name}: answer {text} after the prompt is not one token; "
                "change the end of `prompt`"
            )
        found[text] = ids[0]
    return found


def answer_tokens(tokenizer: Any, backbone: Backbone, answer: str) -> list[int]:
    """Return the tokens of an answer as it follows the prompt, none where it joins its last one.

    Text of the data in it may be marked.
    """
    stem = encode(tokenizer, backbone.prompt)
    ids = encode(tokenizer, continued(backbone.prompt, answer))
    return ids[len(stem) :] if ids[: len(stem)] == stem else []


def answer_or_error(tokenizer: Any, backbone: Backbone, sample_id: str, answer: str) -> list[int]:
    """Return the tokens of an answer as they follow the prompt.

    Raises:
        ConfigError: its first token would hold the prompt's end as well.
    """
    ids = answer_tokens(tokenizer, backbone, answer)
    if not ids:
        raise boundary(backbone, sample_id, answer)
    return ids


def space_before(tokenizer: Any, backbone: Backbone, sample_id: str, answer: str) -> str:
    """Return the space between prompt and answer where the answer's first token holds it.

    Raises:
        ConfigError: see `answer_or_error`.
    """
    first = answer_or_error(tokenizer, backbone, sample_id, answer)[0]
    return " " * (tokenizer.convert_ids_to_tokens(first)[0] in _SPACES)


def boundary(backbone: Backbone, sample_id: str, answer: str) -> ConfigError:
    """Return the error about a prompt and an answer that share a token."""
    return ConfigError(
        f"backbone {backbone.name}: answer '{unmarked(answer)}' (sample {sample_id}) shares a token"
        " with the prompt's end; change the end of `prompt`"
    )


def continued(prompt: str, answer: str) -> str:
    """Return a prompt with its answer, parted by white space."""
    return f"{prompt}{answer}" if prompt[-1:].isspace() else f"{prompt} {answer}"
