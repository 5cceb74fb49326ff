"""What a model takes of a card's memory while it is trained or asked: bytes, by arithmetic.

Every term is what transformers, peft, FSDP2 and AdamW keep as `train/` calls them; the tests of
this module and `tests/benchmarks/run_fits.py` compare the sum with the profiler's.
"""

from dataclasses import dataclass

from matcg.config.backbone import Backbone, Recipe
from matcg.models import families
from matcg.models.shape import Layers, Shape

TEXT = 128  # tokens of a prompt without its picture, as the longest questions have them
# What the allocator loses between blocks, as a share of tensors' bytes. Unmeasured, no card was at
# hand.
ALLOCATOR = 0.05
CONTEXT = 2 * 2**30  # bytes of CUDA, NCCL and cuBLAS on a card. Unmeasured, likewise
# Tokens and prompts of vLLM's widest pass on cards below 70 GB, by `engine/arg_utils.py` of 0.32;
# on larger ones, which have the room, it takes up to four times as many.
PASS, SEQUENCES = 8192, 256


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of tensors on each device at the peak, by what they are."""

    weights: float
    gradients: float
    optimiser: float
    activations: float
    flight: float

    @property
    def tensors(self) -> float:
        """Return the sum."""
        return self.weights + self.gradients + self.optimiser + self.activations + self.flight

    @property
    def whole(self) -> float:
        """Return what a card must have, with the allocator's allowance and CUDA's own."""
        return self.tensors * (1 + ALLOCATOR) + CONTEXT


def shape_of(backbone: Backbone, text: int = TEXT) -> Shape | None:
    """Return a backbone's sizes; None where its file or its family does not say them."""
    family = families.find((backbone.architecture or "").split("/")[0])
    if not (backbone.shape and family and family.shape):
        return None
    try:
        found: Shape | None = family.shape(backbone.shape, backbone.image.size, text)
    except KeyError:
        return None
    return found


def training(
    shape: Shape, recipe: Recipe, dtype: str, micro: int, checkpointing: bool, devices: int = 1
) -> Memory:
    """Return what a step takes on each device, `micro` samples at a time."""
    low = 4 if dtype == "float32" else 2
    counts, kept = shape.parameters, Step(shape, recipe, low, checkpointing).kept()
    if recipe.method == "lora":  # adapters in float32, and autocast's copies of them
        trained, share = adapters(shape, recipe), 1
        weights = low * sum(counts.values()) + 4 * trained
        flight = 0.0 if low == 4 else float(low * trained)
    else:
        trained = sum(counts[part] for part in recipe.trains)
        share, weights = devices, 4 * sum(counts.values())
        flight = 0.0 if low == 4 and devices == 1 else _flight(shape)
    return Memory(weights / share, 4 * trained / share, 8 * trained / share, micro * kept, flight)


def answering(shape: Shape, dtype: str, batch: int) -> Memory:
    """Return what the transformers engine takes, with so many prompts at a time."""
    low = 4 if dtype == "float32" else 2
    weights = low * sum(shape.parameters.values())
    passing = max(shape.passing, *map(_passing, shape.layers))
    return Memory(weights, 0, 0, low * batch * passing, 0)


def _passing(n: Layers) -> float:
    """Return the numbers at hand at once where a sample goes through layers and nothing is kept."""
    states = n.count * n.width if n.listed else n.width
    return n.rows * (states + 2 * n.width + (3 if n.gated else 2) * n.inner)


def by_vllm(shape: Shape, dtype: str, context: int) -> Memory:
    """Return what vLLM takes at least: one prompt of `context` tokens kept, its widest pass.

    That it tries at its start (`max_num_batched_tokens`), with as many pictures as it holds.
    """
    low = 4 if dtype == "float32" else 2
    weights = low * sum(shape.parameters.values())
    text = [n for n in shape.layers if n.part == "llm"]
    keys = sum(2 * n.key * n.count * (n.side or context) for n in text)
    passing = PASS * max(_passing(n) / n.rows for n in text)
    scores = 2 * SEQUENCES * shape.vocabulary * 4
    return Memory(weights, 0, 0, low * (passing + keys) + scores, 0)


def adapters(shape: Shape, recipe: Recipe) -> int:
    """Return the parameters of a recipe's adapters."""
    return (recipe.rank or 0) * sum(a + b for a, b in shape.matrices(recipe.trains))


def _flight(shape: Shape) -> float:
    """Return the bytes of weights that are put together, and of their gradients on the way out.

    Of a layer two lie whole, with gradients in the layers' type and, to be summed over devices, in
    float32; of the head one. What is outside of both is held from first to last.
    """
    layer = max(each.parameters for each in shape.layers)
    rest = sum(shape.rest.values()) + (0 if shape.head else shape.embedding)
    return 2 * rest + max(12 * layer, 8 * (shape.head or shape.embedding))


@dataclass(frozen=True, slots=True)
class Step:
    """What one sample keeps for the way back."""

    shape: Shape
    recipe: Recipe
    low: int
    checkpointing: bool

    def kept(self) -> float:
        """Return its bytes at the peak.

        That is where the tower ends, or where the way back begins or is in the largest layer.
        """
        flowing = [each for each in self.shape.layers if self._flows(each)]
        masks = self.shape.masks if "tower" in self.recipe.trains else 0
        inputs = sum(n.count * n.width * n.rows for n in flowing if self._again(n))
        held: float = self.low * (self.shape.held + masks + inputs)
        held += sum(n.count * self.layer(n) for n in flowing if not self._again(n))
        if self.checkpointing:
            most = max(self._again(n) * self.layer(n) + self.back(n) for n in flowing)
        else:
            most = self.back(flowing[0])
        return max(held + most, self.low * self.shape.passing)

    def layer(self, n: Layers) -> float:
        """Return the bytes that a layer keeps."""
        return self.row(n) * n.rows + self.aside(n)

    def _again(self, layers: Layers) -> bool:
        """Tell whether layers keep what goes into them alone, and are gone through again."""
        return self.checkpointing and layers.checkpointed

    def _flows(self, layers: Layers) -> bool:
        """Tell whether a gradient goes through layers: nothing is trained below a frozen tower."""
        return layers.part == "llm" or layers.part in self.recipe.trains

    def row(self, n: Layers) -> float:
        """Return the bytes that one row of a layer keeps."""
        low, lora = self.low, self.recipe.method == "lora" and n.part in self.recipe.trains
        full = self.recipe.method == "full" and n.part in self.recipe.trains
        cast = self.recipe.method == "lora" and low == 2
        norm = (4 if cast else low) * n.width if n.centred else (4 + low * full) * n.width
        inner = (4 if n.gated else 3 if n.quick else 2) * n.inner
        if lora and cast:
            read = sum(a + (self.recipe.rank or 0) for a, _ in n.matrices) - n.inner
        else:
            read = 2 * n.width * (full or lora)
        attended = (2 if n.side else 4) * n.query + (2 * n.query if n.fused else 0)
        return 2 * norm + low * (read + attended + inner + n.kept) + 4 * n.heads

    def aside(self, n: Layers) -> float:
        """Return the bytes that do not go by rows: a text model's mask, keys and values aside.

        These are repeated for all heads of queries, and normed keys kept in float32 and as they
        become. Adapters keep a copy each of the states that keys and values are made of.
        """
        if n.part != "llm":
            return 0
        if not n.side:
            return self.low * n.rows**2
        copied = self.low == 2 and self.recipe.method == "lora" and n.part in self.recipe.trains
        states = 2 * n.query + 3 * n.key + (2 * n.width if copied else 0)
        return self.low * n.side * (n.rows + states)

    def back(self, n: Layers) -> float:
        """Return the bytes of gradients that are at hand at once on a layer's way back.

        Of its inner values; or of repeated keys and values, and of the states these are made of.
        """
        inner = n.rows * (3 * n.inner if n.gated else n.inner)
        return self.low * max(inner, n.side * (2 * n.query + n.width))
