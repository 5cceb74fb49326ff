"""Arms: the training sets, or the lack of one, that an experiment compares."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, JsonValue, Tag

from matcg.config.base import Model, Natural, Once, Positive, Slug, Text, Words

# Arms that the report knows by their names: their order, marks, and what is compared.
CG, CONTROL, BASELINE = "cg", "control", "baseline"
ARMS = (CG, CONTROL, BASELINE, "floor", "ceiling")
# What reports read as "without the target's data, of the same size as CG" must be that.
HELD_OUT = frozenset({CONTROL, "floor"})
EACH = "each"
# Kinds of arms, as the path of an error names them; those in brackets are not shown.
UNTRAINED, COMBINATIONS, RULE = "[untrained]", "[combinations]", "[rule]"
COVERING = "[covering]"
# The key that says which kind a trained arm is of.
KEYS = {"like": COMBINATIONS, "rule": RULE, "covers": COVERING}


def reference(arms: Collection[str]) -> str:
    """Return the arm that differences are taken from: the control, or else the baseline."""
    return CONTROL if CONTROL in arms else BASELINE


class Asked(Model):
    """What every arm can say."""

    protocol: Text | None = Field(
        default=None, description="how this arm is asked, where not as the others"
    )


class Untrained(Asked):
    """The backbone as it is."""

    NOTE: ClassVar[str] = "An untrained model differs from `baseline` by its `protocol` alone."

    like: Literal["baseline"] = Field(default="baseline", description="no training")


class Trained(Asked):
    """What every arm with a training set can say."""

    labels: Literal["true", "shuffled"] = "true"
    target: Natural = Field(
        default=0, description="so many of the samples are the target's training data"
    )
    samples: Positive | None = Field(
        default=None, description="size of this arm's mix, where it is not to be that of the others"
    )
    draws: Positive = Field(
        default=1,
        description="so many training sets, each drawn anew, so that the luck of one draw shows",
    )
    targets: Annotated[Words, Once] = Field(
        default=(), description="only for these of the experiment's targets; left out: for all"
    )


class OfCombinations(Trained):
    """A mix for each combination of the experiment's rules."""

    like: Literal["cg"] = Field(default="cg", description="the sources of each CG combination")
    knock_out: Annotated[Words, Once] = Field(
        default=(),
        description="each combination once more without an element: sources that share it with the"
        " target are exchanged for such that do not; names of elements, or each",
    )
    parts: Literal["each"] | None = Field(
        default=None,
        description="for each element the largest part of a combination without it, full size",
    )

    @property
    def reduced(self) -> bool:
        """Tell whether an element is taken out of the combinations, an arm an element."""
        return bool(self.knock_out or self.parts)


class OfRule(Trained):
    """A mix for each target, shared by all of its combinations."""

    rule: Text = Field(description="where its sources come from")


class Covering(Trained):
    """A mix for each target that covers some of its elements, each by sources of its own."""

    covers: Annotated[tuple[Slug, ...], Once] = Field(
        description="elements, each learned from sources that share it; [] for unrelated data alone"
    )


def _kind(arm: Any) -> str | None:
    """Return which kind an arm is of, or is nearest to."""
    if isinstance(arm, Asked):
        kinds = {Untrained: UNTRAINED, OfCombinations: COMBINATIONS, Covering: COVERING}
        return kinds.get(type(arm), RULE)
    keys = dict(arm) if isinstance(arm, Mapping) else {}
    said = [key for key in KEYS if key in keys]
    for misspelt in keys.keys() - Trained.model_fields if not said else ():
        return KEYS[next(iter(get_close_matches(misspelt, KEYS)), "rule")]
    if len(said) != 1:
        return None
    if said != ["like"]:
        return KEYS[said[0]]
    return UNTRAINED if get_close_matches(str(keys["like"]), [BASELINE]) else COMBINATIONS


Arm = Annotated[
    Annotated[Untrained, Tag(UNTRAINED)]
    | Annotated[OfCombinations, Tag(COMBINATIONS)]
    | Annotated[OfRule, Tag(RULE)]
    | Annotated[Covering, Tag(COVERING)],
    Discriminator(
        _kind,
        custom_error_type="arm",
        custom_error_message="needs `rule:`, which names its sources, `covers:` or `like: cg`",
    ),
]
# Arms that have no settings: their names say what they are.
STANDARD: dict[str, Untrained | OfCombinations] = {BASELINE: Untrained(), CG: OfCombinations()}
EMPTY: dict[str, JsonValue] = {"type": "object", "maxProperties": 0}


def check_arm(name: str, arm: Arm, sizes: Collection[int]) -> None:
    """Raise ValueError where an arm's settings contradict its name or each other."""
    if name in STANDARD:
        if arm != STANDARD[name]:
            raise ValueError(f"arms.{name}: takes no settings; write `{name}: {{}}`")
    elif isinstance(arm, Untrained):
        if not arm.protocol:
            raise ValueError(f"arms.{name}: needs `protocol:`. {Untrained.NOTE}")
    else:
        if isinstance(arm, OfCombinations) and arm.reduced:
            _check_reduced(name, arm)
        if name in HELD_OUT and arm.target:
            raise ValueError(f"arms.{name}.target: this arm must not see the target's data")
        if name in HELD_OUT and arm.samples:
            raise ValueError(f"arms.{name}.samples: this arm must be of the same size as 'cg'")
        size = arm.samples or min(sizes)
        if arm.target > size:
            raise ValueError(f"arms.{name}.target: {arm.target} exceed `samples: {size}`")


def _check_reduced(name: str, arm: OfCombinations) -> None:
    """Raise ValueError where an arm without an element differs from CG by more than its sources."""
    if name in ARMS:
        raise ValueError(
            f"arms.{name}: becomes an arm for each element; choose another name, such as `without`"
        )
    only = ("parts", "draws") if arm.parts else ("knock_out", "draws")
    for key in sorted(type(arm).model_fields.keys() - {"like", *only}):
        if getattr(arm, key) != type(arm).model_fields[key].default:
            raise ValueError(
                f"arms.{name}.{key}: leave it out; beside `{only[0]}` there is but `draws`, so that"
                " the arm differs from 'cg' by its sources alone"
            )
