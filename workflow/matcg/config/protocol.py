"""Protocols: how test questions are asked and how answers are read."""

from typing import Literal

from pydantic import Field, model_validator

from matcg.config.base import Model, Natural, Positive, Slug

DEFAULT_PROTOCOL = "letters"  # the protocol that is used where none is named


class Protocol(Model):
    """How test questions are asked and answers read."""

    name: Slug  # a dot would be read as the number of a draw
    description: str = ""
    scoring: Literal["letter", "option-text", "generate"] = Field(
        default="letter",
        description="the likeliest option letter, or of boxes and masks text that is bound to their"
        " form; the option with the likeliest text, by mean over its tokens; free text that a"
        " parser reads",
    )
    permutations: Positive = Field(
        default=1, description="cyclic orders of the options, over which probabilities are averaged"
    )
    image: Literal["shown", "blank", "shuffled"] = Field(
        default="shown", description="blank: grey; shuffled: that of another question of the target"
    )
    shots: Natural = Field(
        default=0, description="examples in the prompt, from the target's training samples"
    )
    per: Literal["label", "prompt"] = Field(
        default="label",
        description="so many `shots` of each label, or in all, labels in turn; of boxes and masks"
        " of pictures with a finding and without",
    )
    draws: Positive = Field(default=1, description="so many draws of examples, each asked")
    seed: Natural = Field(default=42, description="of examples, and of shuffled pictures")
    questions: Positive | None = Field(
        default=None,
        description="only so many questions of each target, its labels in turn (`per`): for smoke"
        " runs, as `limit` in the config says for all protocols",
    )
    max_tokens: Positive = Field(default=16, description="generate: length of an answer")

    max_boxes: Positive = Field(default=8, description="boxes that an answer may have at most")

    @model_validator(mode="after")
    def _sensible(self) -> "Protocol":
        if self.draws > 1 and not self.shots:
            raise ValueError("draws: there is nothing to draw without `shots`")
        if self.permutations > 1 and self.scoring != "letter":
            raise ValueError("permutations: orders matter to letters only; use `scoring: letter`")
        return self

    def identity(self) -> str:
        """Return canonical JSON of what decides answers."""
        return self.canonical({"description"} | (set() if self.questions else {"questions"}))
