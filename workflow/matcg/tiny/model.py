"""The tiny backbone before training: its tokeniser, architecture and initial weights.

A real `LlavaForConditionalGeneration` (CLIP tower, projector, Llama) of about a million parameters.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from matcg.coordinates import NONE
from matcg.coordinates.tiny import FORMAT
from matcg.forms.choice import INSTRUCTION, OPTION_LETTERS
from matcg.tiny.shapes import ATTRIBUTES, SIDE

VOCABULARY = 1536
PATCH = 12
_WIDTH = 128
_HEADS = 4
ROPE_BASE = 10_000.0
MAX_POSITIONS = 1024
# How an edge of a box is written, in pixels from the picture's left or upper border.
PLACES = tuple(f"@{edge:02d}" for edge in range(SIDE + 1))
NEAR = 2.0  # pixels within which two places are much alike
_SPECIAL = ("<pad>", "<s>", "</s>", "<image>")
_WORDS = Path(__file__).with_name("words.txt")


def corpus() -> list[str]:
    """Return the text that the vocabulary is learnt from: common words, shapes, the template."""
    shapes = [text for a in ATTRIBUTES.values() for text in (*a.words, *a.questions)]
    return (shapes + list(OPTION_LETTERS)) * 50 + _WORDS.read_text().split() * 10


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokeniser in which every letter is one token wherever it stands.

    White space only separates: it is dropped before the bytes are read, so that "A" in an option
    list and "A" as an answer are the same token.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s+"), behavior="removed"),
            pre_tokenizers.Split(Regex(r"\p{L}+|\p{N}"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    # Phrases that stand in every prompt are one token each: two thirds of the prompt's length.
    tokenizer.add_tokens(["USER:", "ASSISTANT:", INSTRUCTION])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
        model_max_length=MAX_POSITIONS,
    )


def add_places(tokenizer: PreTrainedTokenizerFast) -> None:
    """Add the tokens of places, and of how they are asked for."""
    requests = (f". {request}, or {NONE}." for request in (FORMAT.request, FORMAT.mask_request))
    tokenizer.add_tokens([*requests, *PLACES])


def make_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Return the processor: 48 x 48 pixels, 16 image tokens (the class token is dropped)."""
    pixels = CLIPImageProcessorPil(
        size={"height": SIDE, "width": SIDE},
        do_center_crop=False,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.25, 0.25, 0.25],
    )
    return LlavaProcessor(
        image_processor=pixels,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
    )


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlavaForConditionalGeneration:
    """Return the untrained model: matrices drawn at 1/sqrt(fan-in), two heads wired by hand.

    At the library's default spread (0.02) letter binding stayed at chance for thousands of steps.
    """
    torch.manual_seed(seed)
    vision = CLIPVisionConfig(
        hidden_size=_WIDTH,
        intermediate_size=2 * _WIDTH,
        num_hidden_layers=3,
        num_attention_heads=_HEADS,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=_WIDTH,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=_WIDTH,
        intermediate_size=2 * _WIDTH,
        num_hidden_layers=4,
        num_attention_heads=_HEADS,
        num_key_value_heads=_HEADS,
        max_position_embeddings=MAX_POSITIONS,
        attention_bias=True,
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=(SIDE // PATCH) ** 2,
        tie_word_embeddings=False,
    )
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():
        _spread(model)
        _wire(model)
    return model


def widen(
    model: LlavaForConditionalGeneration, vocabulary: int, said: Collection[int], seed: int
) -> None:
    """Give a model rows for tokens that were added, and let all but those `said` be said as read.

    What is copied, as a label is, then needs no table from reading to saying. Rows of `PLACES`,
    the last ones, are the more alike the nearer they are to each other.
    """
    torch.manual_seed(seed)
    old = model.config.text_config.vocab_size
    model.resize_token_embeddings(vocabulary, mean_resizing=False)
    at = torch.arange(len(PLACES))
    alike = torch.exp(-0.5 * ((at[:, None] - at) / NEAR) ** 2) + 1e-2 * torch.eye(len(at))
    rows = torch.randn(vocabulary - old, _WIDTH)
    rows[-len(at) :] = torch.linalg.cholesky(alike) @ rows[-len(at) :]
    unsaid = [i for i in range(vocabulary) if i not in said]
    with torch.no_grad():
        read = model.get_input_embeddings().weight
        read[old:] = rows
        model.get_output_embeddings().weight[unsaid] = read[unsaid] * _WIDTH**-0.5


def _spread(model: LlavaForConditionalGeneration) -> None:
    """Draw all matrices; what is added to the residual stream starts small."""
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            continue
        spread = float(parameter[0].numel()) ** -0.5
        if "embed_tokens" in name:
            spread = 1.0
        elif "o_proj" in name or "down_proj" in name or "lm_head" in name:
            spread *= 0.3
        elif "position_embedding" in name:
            spread = 0.7
        parameter.normal_(0, spread)


def _wire(model: LlavaForConditionalGeneration) -> None:
    """Give the language model the start of an induction circuit, so that letters bind at once.

    Quarters of the residual stream: 0 and 1 hold a token's embedding; layer 0 writes the token
    before into 2 and the token two before (a letter, seen from its option: "B : word") into 3;
    layer 2 looks for an embedding (0) equal to the token before (2) and fetches its letter (3).
    Layer 1 is left free: there the picture's answer can take the place of the token before.
    """
    quarter = _WIDTH // 4
    parts = [slice(i * quarter, (i + 1) * quarter) for i in range(4)]
    model.model.language_model.embed_tokens.weight[:, 2 * quarter :] *= 0.1
    layers = model.model.language_model.layers
    first, third = layers[0].self_attn, layers[2].self_attn
    for head, back, source, goal in ((0, 1, 0, 2), (1, 2, 1, 3)):
        _look_back(first, parts[head], back)
        _move(first, parts[head], parts[source], parts[goal])
    for projection, part in ((third.q_proj, parts[2]), (third.k_proj, parts[0])):
        projection.weight[parts[0]] = 0
        projection.weight[parts[0], part] = 1.5 * torch.eye(quarter)
    _move(third, parts[0], parts[3], parts[1])


def _look_back(attention: Any, head: slice, back: int) -> None:
    """Make a head attend `back` tokens before, by biases that rotary positions turn into a peak."""
    half = (head.stop - head.start) // 2
    angle = back * ROPE_BASE ** (-torch.arange(half) / half)
    strength = 5.0 * (torch.arange(half) < 5)
    attention.q_proj.weight[head] *= 0.1
    attention.k_proj.weight[head] *= 0.1
    attention.q_proj.bias[head] = torch.cat([strength, torch.zeros(half)])
    turned = torch.cat([angle.cos(), angle.sin()])
    attention.k_proj.bias[head] = strength.repeat(2) * turned


def _move(attention: Any, head: slice, source: slice, goal: slice) -> None:
    """Make a head copy one part of the residual stream of where it looks into another part."""
    unit = torch.eye(head.stop - head.start)
    attention.v_proj.weight[head] = 0
    attention.v_proj.weight[head, source] = unit
    attention.o_proj.weight[:, head] = 0
    attention.o_proj.weight[goal, head] = unit
