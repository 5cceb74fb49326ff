"""Sizes of a model, from what its config.json says of them, without any library."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Layers:
    """Equal layers of attention and of what follows it, that a sample goes through in `rows`.

    Attributes:
        query, key: widths of all heads together.
        gated: three matrices follow attention in place of two.
        centred: norms are LayerNorm, else RMSNorm, which is computed in float32.
        fused: queries, keys and values come of one matrix.
        quick: GELU by a sigmoid, of which two results are kept.
        listed: each layer's states are handed on.
        vectors: parameters of a layer outside of matrices.
        side: rows of keys and values where they are not the layer's own.
        kept: numbers that a row keeps for the way back besides those of every such layer.
        checkpointed: transformers' class is one that gradient checkpointing goes through again.
    """

    part: str
    count: int
    rows: int
    width: int
    inner: int
    query: int
    key: int
    heads: int
    gated: bool = True
    centred: bool = False
    fused: bool = False
    quick: bool = False
    listed: bool = False
    vectors: int = 0
    side: int = 0
    kept: int = 0
    checkpointed: bool = True

    @property
    def matrices(self) -> tuple[tuple[int, int], ...]:
        """Return what goes in and what comes out of each matrix of a layer."""
        read = [self.query, self.key, self.key]
        attend = [(self.width, sum(read))] if self.fused else [(self.width, out) for out in read]
        inner = [(self.width, self.inner)] * (2 if self.gated else 1)
        return (*attend, (self.query, self.width), *inner, (self.inner, self.width))

    @property
    def parameters(self) -> int:
        """Return the parameters of one layer."""
        return sum(a * b for a, b in self.matrices) + self.vectors


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's sizes, for pictures of one size.

    `embedding` and `head` are parameters, the head's 0 where it is the embedding; `vocabulary` and
    `width` of the text model. `rest` are parameters outside of layers by part, `projections` the
    projectors' matrices. A picture is `seen` tokens of a prompt, or as many `states` on the side.
    `held`, `masks` and `passing` are numbers of a picture: what is kept besides its layers', masks
    that all layers of the tower share, and what is at hand where the tower ends.
    """

    layers: tuple[Layers, ...]
    embedding: int
    head: int
    vocabulary: int
    width: int
    rest: Mapping[str, int]
    seen: int
    projections: tuple[tuple[int, int], ...]
    held: int = 0
    masks: int = 0
    passing: int = 0

    @property
    def parameters(self) -> dict[str, int]:
        """Return the parameters of each part."""
        found = {"llm": self.embedding + self.head, "projector": 0, "tower": 0}
        for part, count in self.rest.items():
            found[part] += count
        for each in self.layers:
            found[each.part] += each.count * each.parameters
        return found

    def matrices(self, parts: Iterable[str]) -> list[tuple[int, int]]:
        """Return the matrices of some parts' layers and projectors, which adapters go beside."""
        wanted = set(parts)
        found = list(self.projections) if "projector" in wanted else []
        for each in self.layers:
            found += list(each.matrices) * each.count if each.part in wanted else []
        return found


def text_layers(text: Config, rows: int, biased: bool = False, normed: bool = False) -> Layers:
    """Return the layers of a text model of Llama's kind: Qwen2's has biases, Qwen3's more norms."""
    width, heads = text["hidden_size"], text["num_attention_heads"]
    each = text.get("head_dim") or width // heads
    key = (text.get("num_key_value_heads") or heads) * each
    query = heads * each
    vectors = 2 * width + (query + 2 * key if biased else 0) + (2 * each if normed else 0)
    return Layers(
        "llm",
        text["num_hidden_layers"],
        rows,
        width,
        text["intermediate_size"],
        query,
        key,
        heads,
        vectors=vectors,
        # Of these norms copies in float32 and results are kept.
        kept=3 * (query + key) if normed else 0,
    )


def tower_layers(count: int, rows: int, width: int, inner: int, heads: int, **more: Any) -> Layers:
    """Return the layers of a tower, with biases everywhere and LayerNorm unless told otherwise."""
    biases = 3 * width + width + inner + width
    known = {"gated": False, "centred": True, "vectors": biases + 4 * width} | more
    return Layers("tower", count, rows, width, inner, width, width, heads, **known)
