"""Which cards hold a backbone that is trained or asked, how many, and what would make it fit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from matcg.config.backbone import Amounts, Backbone, Recipe
from matcg.config.project import Project
from matcg.config.workflow import PROMPTS, Engine
from matcg.errors import ConfigError
from matcg.models import fits
from matcg.models.shape import Shape
from matcg.plan.enumerate import Plan

# GiB that CUDA has of cards sold as so many GB, the smallest of each size. Unverified: of data
# sheets, no card was at hand.
CARDS = {24: 22.4, 40: 39.4, 48: 44.4, 80: 79.1, 141: 139.0}
COUNTS = (1, 2, 4, 8)  # cards of one node
UTILISATION = 0.92  # of a card, vLLM 0.32's `gpu_memory_utilization` where nobody says another
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Way:
    """How a recipe is trained, as far as memory asks."""

    shape: Shape
    recipe: Recipe
    dtype: str
    micro: int
    checkpointing: bool

    @classmethod
    def of(cls, backbone: Backbone, name: str) -> "Way | None":
        """Return what a backbone's file says of a recipe; None where its sizes are not known."""
        shape, recipe = fits.shape_of(backbone), backbone.recipes[name]
        own = backbone.resources.of(name)
        micro = own.micro_batch or recipe.batch_size
        again = own.gradient_checkpointing
        return cls(shape, recipe, backbone.dtype, micro, again) if shape else None

    @property
    def counts(self) -> tuple[int, ...]:
        """Return how many cards it can be trained on: adapters are not shared."""
        return COUNTS if self.recipe.method == "full" else COUNTS[:1]

    def takes(self, devices: int) -> float:
        """Return the GiB that each of so many cards must have."""
        micro = min(self.micro, -(-self.recipe.batch_size // devices))
        found = fits.training(
            self.shape, self.recipe, self.dtype, micro, self.checkpointing, devices
        )
        return found.whole / _GIB

    def smaller(self) -> "Iterator[Way]":
        """Yield ways that take less, the least change first: fewer samples, then checkpointing."""
        halves = [self.micro >> n for n in range(1, self.micro.bit_length())]
        yield from (replace(self, micro=n) for n in halves)
        if not self.checkpointing:
            yield from (replace(self, micro=n, checkpointing=True) for n in (self.micro, *halves))

    def fewest(self, room: float) -> int | None:
        """Return how many cards of `room` GiB it takes at least; None where none suffice."""
        return next((n for n in self.counts if self.takes(n) <= room), None)

    def lines(self, devices: int, before: "Way", count: int) -> str:
        """Return what differs from what was there, as lines of `resources`."""
        said = [f"gpu: {devices}"] * (devices != count)
        said += [f"micro_batch: {self.micro}"] * (self.micro != before.micro)
        again = self.checkpointing != before.checkpointing
        return ", ".join([*said, *["gradient_checkpointing: true"] * again])


def room_of(gigabytes: float) -> float:
    """Return the GiB of a card that is sold as so many GB."""
    return CARDS.get(int(gigabytes), gigabytes * 1e9 / _GIB)


def change(way: Way, devices: int, room: float) -> str:
    """Return the smallest change by which a recipe fits, "" where none does.

    Fewer samples at a time come first, then checkpointing, then more cards.
    """
    tried = [(each, devices) for each in way.smaller()]
    more = [n for n in way.counts if n > devices]
    tried += [(each, n) for n in more for each in (way, *way.smaller())]
    return next((w.lines(n, way, devices) for w, n in tried if w.takes(n) <= room), "")


def refused(backbone: Backbone, name: str, devices: int, room: float) -> str:
    """Return why a recipe cannot be trained on so many cards of `room` GiB; "" where it can be."""
    way = Way.of(backbone, name)
    if not way or (need := way.takes(devices)) <= room:
        return ""
    lines = change(way, devices, room)
    advice = f"it fits with `{lines}` in the backbone's resources"
    if not lines:
        advice = "none of these suffice; take larger ones, or a recipe of method lora"
    return (
        f"backbone '{backbone.name}' takes {need:.0f} GiB on each of {devices} GPUs with recipe"
        f" '{name}', by arithmetic, and these have {room:.0f}: {advice} (docs/gpus.md)"
    )


def asks(backbone: Backbone, engine: Engine) -> float | None:
    """Return the GiB that a card must have to answer; None where sizes are not known."""
    shape = fits.shape_of(backbone)
    if not shape:
        return None
    if backbone.engine == "transformers":
        batch = engine.max_num_seqs or PROMPTS
        return fits.answering(shape, backbone.dtype, batch).whole / _GIB
    share = engine.gpu_memory_utilization or UTILISATION
    words = (backbone.shape or {})["text_config"]
    longest = min(engine.max_model_len, words.get("max_position_embeddings", engine.max_model_len))
    return fits.by_vllm(shape, backbone.dtype, longest).whole / _GIB / share


def with_counts(project: Project, room: float | None) -> Project:
    """Return a project in which `gpu: auto` is the fewest cards of `room` GiB; one answers.

    Raises:
        ConfigError: nothing is known of the cards or of the backbone's sizes.
    """
    counted = {n: _counted(each, room) for n, each in project.backbones.items()}
    return replace(project, backbones=counted)


def _counted(backbone: Backbone, room: float | None) -> Backbone:
    if backbone.resources.gpu != "auto":
        return backbone
    if room is None:
        raise ConfigError(
            f"{backbone.where}: resources.gpu: is auto, and nothing is known of the GPUs: say their"
            " size, as `card_gb: 80`, in the config"
        )
    own: dict[str, Amounts] = dict(backbone.resources.recipes)
    for name in backbone.recipes:
        if not (way := Way.of(backbone, name)):
            raise ConfigError(
                f"{backbone.where}: resources.gpu: is auto, and the sizes of the model are not"
                " known: copy them from its config.json to `shape`, or give a number"
            )
        amounts = own.get(name, Amounts())
        count = amounts.gpu or way.fewest(room) or COUNTS[-1]
        own[name] = amounts.model_copy(update={"gpu": count})
    resources = backbone.resources.model_copy(update={"gpu": 1, "recipes": own})
    return backbone.model_copy(update={"resources": resources})


def needs(plan: Plan, project: Project) -> list[tuple[str, ...]]:
    """Return how many cards of each size a plan's backbones on GPUs take: step, names, counts."""
    known = {n: each for n, each in project.backbones.items() if each.resources.gpu}
    runs = sorted({(run.backbone, run.recipe) for run in plan.runs if run.backbone in known})
    asked = sorted({each.backbone for each in plan.evaluations} & known.keys())
    engine = project.config.engine
    return [
        *(("finetune", *run, *_trained(Way.of(known[run[0]], run[1]))) for run in runs),
        *(("predict", name, "", *_asked(asks(known[name], engine))) for name in asked),
    ]


def _trained(way: Way | None) -> list[str]:
    return [str(way.fewest(room) or "-") if way else "unknown" for room in CARDS.values()]


def _asked(need: float | None) -> list[str]:
    return [("1" if need <= r else "-") if need else "unknown" for r in CARDS.values()]


def too_large(plan: Plan, project: Project, room: float) -> list[str]:
    """Return why runs of a plan cannot be trained on cards of `room` GiB, a sentence each."""
    pairs = sorted({(run.backbone, run.recipe) for run in plan.runs})
    return too_large_of(project.backbones, pairs, room)


def too_large_of(
    backbones: Mapping[str, Backbone], pairs: Iterable[tuple[str, str]], room: float
) -> list[str]:
    """Return the same for backbones and recipes by name."""
    found = []
    for name, recipe in pairs:
        if count := backbones[name].resources.amount("gpu", recipe):
            found.append(refused(backbones[name], recipe, count, room))
    return [each for each in found if each]


def page(backbones: Iterable[Backbone]) -> list[Sequence[str]]:
    """Return the table of docs/gpus.md: of each card the fewest, with the lines that this takes."""
    rows: list[Sequence[str]] = []
    for each in backbones:
        for name in each.recipes:
            if way := Way.of(each, name):
                cells = [_cell(way, room) for room in CARDS.values()]
                rows.append((each.name, f"`{name}`", *cells))
        if need := asks(each, Engine()):
            rows.append((each.name, f"answers, {each.engine}", *_asked(need)))
    return rows


def _cell(way: Way, room: float) -> str:
    ways = [(w, n) for n in way.counts for w in (way, *way.smaller())]
    found = next(((w, n) for w, n in ways if w.takes(n) <= room), None)
    return f"`{found[0].lines(found[1], way, 0)}`" if found else "-"
