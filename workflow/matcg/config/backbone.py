"""Backbones: weights, how they are asked, recipes of fine-tuning, and what their jobs need."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictBool, model_validator

from matcg.config.base import Float, Fraction, Model, Name, Natural, Positive, Text
from matcg.errors import nearest

# Keys of a backbone that matter when it is asked, and to no training.
ASKING = {"turn_end", "several_images", "engine"}
CONVERTED = "results/converted"  # where the rule `convert` writes


Shade = Annotated[int, Field(strict=True, ge=0, le=255)]


class Image(Model):
    """How a picture reaches the vision tower."""

    size: Positive = Field(description="edge in pixels")
    geometry: Literal["squash", "pad", "crop"] = "squash"
    fill: tuple[Shade, Shade, Shade] | None = Field(
        default=None,
        description="RGB of the bars that `pad` adds, black if not said: what the vision tower was"
        " trained with, for LLaVA the mean colour of its processor, [122, 116, 104]",
    )

    @model_validator(mode="after")
    def _bars(self) -> "Image":
        if self.fill and self.geometry != "pad":
            raise ValueError("fill: belongs to `geometry: pad`; leave it out")
        return self


class Recipe(Model):
    """How to fine-tune."""

    method: Literal["full", "lora"] = "full"
    learning_rate: Annotated[Float, Field(gt=0)]
    epochs: Positive
    batch_size: Positive
    warmup: Fraction = Field(
        default=0.0, description="share of all steps with a rising learning rate"
    )
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    weight_decay: Annotated[Float, Field(ge=0)] = 0.0
    loss: Literal["samples", "tokens"] = Field(
        default="samples",
        description="mean over samples of the mean over their answer's tokens, or over all tokens",
    )
    trains: tuple[Literal["llm", "projector", "tower"], ...] = ("llm", "projector", "tower")
    rank: Positive | None = Field(default=None, description="LoRA only")
    alpha: Annotated[Float, Field(gt=0)] | None = Field(default=None, description="LoRA only")

    @model_validator(mode="after")
    def _lora(self) -> "Recipe":
        given = self.rank is not None or self.alpha is not None
        if (self.method == "lora") != (self.rank is not None) or (given and self.method == "full"):
            raise ValueError("`rank` and `alpha` belong to method lora, which needs `rank`")
        return self


class Amounts(Model):
    """What fine-tuning with one recipe needs in place of what the backbone's jobs need."""

    gpu: Positive | None = Field(default=None, description="a process each trains the run")
    threads: Positive | None = None
    mem_mb: Positive | None = None
    runtime: Positive | None = Field(default=None, description="minutes of the first try")
    samples_per_second: Annotated[Float, Field(gt=0)] | None = Field(
        default=None, description="fine-tuning speed of a job, until runs have been measured"
    )
    micro_batch: Positive | None = None
    gradient_checkpointing: StrictBool | None = None


class Resources(Model):
    """Where a backbone's jobs run; changes no result and reruns nothing."""

    gpu: Natural | Literal["auto"] = Field(
        default=0,
        description="auto: the fewest that hold each recipe on the cards at hand (docs/gpus.md)",
    )
    threads: Positive = 1
    mem_mb: Positive = 4000
    runtime: Positive = Field(default=60, description="minutes of the first try; retries get more")
    micro_batch: Positive | None = Field(
        default=None, description="samples at a time on the device"
    )
    gradient_checkpointing: StrictBool = Field(
        default=False,
        description="keep no layer's inner values for the way back, but compute them again: a third"
        " more arithmetic, and far less memory",
    )
    samples_per_second: Annotated[Float, Field(gt=0)] | None = Field(
        default=None, description="fine-tuning speed of a job, until runs have been measured"
    )
    questions_per_second: Annotated[Float, Field(gt=0)] | None = Field(
        default=None, description="prediction speed of a job, until some have been measured"
    )
    weights_mb: Positive | None = Field(
        default=None, description="disk that one fully fine-tuned copy takes"
    )
    adapter_mb: Positive | None = Field(default=None, description="disk that one LoRA run takes")
    recipes: dict[Name, Amounts] = Field(default={}, description="amounts of single recipes")

    def amount(self, name: str, recipe: str | None) -> int:
        """Return how much of a resource a job needs: its recipe's own amount or the common one."""
        asked: int = getattr(self.of(recipe), name)
        return asked

    def of(self, recipe: str | None) -> "Resources":
        """Return what a job needs of each, its recipe's own amounts in place of the common ones."""
        own = self.recipes.get(recipe or "", Amounts()).model_dump(exclude_none=True)
        return self.model_copy(update=own)

    def speed(self, recipe: str) -> float | None:
        """Return how many samples a second fine-tuning is thought to see, None if not said."""
        return self.of(recipe).samples_per_second


class Original(Model):
    """Weights as LLaVA's own code writes them, of which a rule makes those that are loaded."""

    weights: Text = Field(description="folder relative to this file, or a hub name org/model")
    revision: str | None = Field(
        default=None, description="commit on the hub; needed for a hub name"
    )
    tower: Text | None = Field(
        default=None,
        description="folder or hub name of the CLIP that the vision tower was: its settings, and"
        " its weights where the checkpoint holds none; left out: the folder of the checkpoint that"
        " its config.json names",
    )
    tower_revision: str | None = Field(
        default=None, description="commit of the tower; needed for a hub name"
    )


def _holding(*names: str) -> AfterValidator:
    """Return a check that each placeholder stands in one of a command's words."""

    def check(words: tuple[str, ...]) -> tuple[str, ...]:
        if missing := [name for name in names if not any(f"{{{name}}}" in w for w in words)]:
            raise ValueError(f"{{{missing[0]}}} stands in none of its words")
        return words

    return AfterValidator(check)


class Commands(Model):
    """Commands of the user's own that train a backbone and answer: words, run without a shell.

    {python} stands for the interpreter that the workflow runs in.
    """

    train: Annotated[tuple[Text, ...], _holding("data", "out")] = Field(
        description="trains; {weights} stands for the backbone's, {data} for the folder of samples,"
        " {out} for that of the weights to be written"
    )
    answer: Annotated[tuple[Text, ...], _holding("weights", "questions", "out")] = Field(
        description="answers; {weights} stands for those that answer, {questions} for the file of"
        " questions, {out} for that of the answers to be written"
    )
    version: Text = Field(description="of what the commands run; another one trains anew")


class Backbone(Model):
    """A base model: its weights, how it is asked, its recipes."""

    name: Name
    description: str = ""
    weights: str = Field(
        default="",
        description="folder relative to this file, or a hub name org/model; left out beside"
        " `original`",
    )
    revision: str | None = Field(
        default=None, description="commit on the hub; needed for a hub name"
    )
    original: Original | None = Field(
        default=None,
        description="in place of `weights`: a checkpoint in the layout of LLaVA's own code",
    )
    trust_remote_code: StrictBool = False
    architecture: Annotated[str, Field(pattern=r"^[a-z0-9_]+(/[a-z0-9_]+)?$")] | None = Field(
        default=None,
        description="`model_type` in the weights' config.json, as in qwen2_vl; where one class has"
        " several text models a slash and the text model's, as in llava/qwen2",
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="of arithmetic; in float16 small gradients would become zero: cards without"
        " bfloat16 take float32",
    )
    image: Image
    prompt: Text = Field(description="holds {question}, and <image> where the picture goes")
    turn_end: str = Field(
        default="\n", description="between an example's answer and the next prompt, for examples"
    )
    several_images: StrictBool = Field(
        default=False, description="a prompt may hold several pictures, as examples need"
    )
    engine: Name = Field(
        default="vllm",
        description="what answers: vllm, transformers for classes that vLLM lacks, or any other"
        " module NAME_engine in evaluate/",
    )
    coordinates: Name | None = Field(
        default=None, description="how it writes places in a picture, a module of coordinates/"
    )
    masks: Literal["grid", "box"] = Field(
        default="grid",
        description="how it writes a mask: the cells of a coarse grid, or the box around each",
    )
    commands: Commands | None = Field(
        default=None,
        description="what trains and answers in place of this library, with `engine: command`",
    )
    recipes: Annotated[dict[Name, Recipe], Field(min_length=1)]
    resources: Resources = Field(default=Resources())
    shape: dict[str, Any] | None = Field(
        default=None,
        description="what the weights' config.json says of sizes, in its words: so that it is known"
        " before any download which cards hold the model",
    )

    @model_validator(mode="after")
    def _one_source(self) -> "Backbone":
        if not self.weights and not self.original:
            raise ValueError("weights: is missing; a folder, a hub name, or `original` instead")
        made = not self.weights or self.weights.startswith(f"{CONVERTED}/")
        if self.original and (self.revision or not made):
            raise ValueError(
                "original: takes the place of `weights` and `revision`; leave these two out"
            )
        return self

    @model_validator(mode="after")
    def _askable(self) -> "Backbone":
        if "{question}" not in self.prompt:
            raise ValueError("prompt: has no {question}, where the question and its options go")
        for name in self.resources.recipes:
            if name not in self.recipes:
                raise ValueError(
                    f"resources.recipes: no recipe '{name}'.{nearest(name, self.recipes)}"
                )
        if (self.engine == "command") != (self.commands is not None):
            raise ValueError("commands: and `engine: command` go together; give both or neither")
        return self

    def asked(self) -> str:
        """Return canonical JSON of what decides how it is asked, and that training does not see."""
        known = {key: getattr(self, key) for key in sorted(ASKING)}
        return json.dumps(known | ({"answer": self.commands.answer} if self.commands else {}))
