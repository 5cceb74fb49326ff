"""How a sample is answered: one module a form of answer, found by its file in this folder.

Each holds `FORM`. It is looked up here by what the sample says, and nowhere else: all other modules
take samples of every form alike.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, Protocol

import pyarrow as pa

from matcg import plugins
from matcg.samples import Sample

ACCURACY = "accuracy"  # what the mean of answers is called that are right or wrong

# The first columns of every form's answers.
KEYS = (("run", pa.string()), ("sample_id", pa.string()))

_BEGINNING = 32  # characters of a text that is scored to compare engines


class How(Protocol):
    """What of a protocol decides how a question is worded."""

    @property
    def scoring(self) -> str:
        """Return how the answer is found."""

    @property
    def permutations(self) -> int:
        """Return in how many orders something is offered."""

    @property
    def max_tokens(self) -> int:
        """Return how long an answer may be that is generated."""

    @property
    def max_boxes(self) -> int:
        """Return how many boxes an answer may have."""


@dataclass(frozen=True, slots=True)
class View:
    """How a backbone sees a picture and writes places in it.

    `edge` and `geometry` are those of the square that it sees (`images.fit`), `coordinates` names
    its words for places, empty where it has none, and `masks` what it writes of a mask.
    """

    edge: int
    geometry: Literal["squash", "pad", "crop"]
    coordinates: str = ""
    masks: Literal["grid", "box"] = "grid"


@dataclass(frozen=True, slots=True)
class Wording:
    """A question as it is put into the prompt, and what an engine is to find out.

    `way` is `token`: how likely each text of `among` is, which are one token each; `texts`: how
    likely each is by mean over its tokens; `text`: what the model says, at most `length` tokens,
    of the form of the regular expression `pattern` where there is one; `among` are examples then,
    one at least. `order` says which of what
    the sample offers stands at each place.
    """

    question: str
    way: Literal["token", "texts", "text"]
    among: tuple[str, ...]
    order: tuple[int, ...] = ()
    length: int = 0
    pattern: str = ""

    def scored(self) -> "Wording":
        """Return a wording whose reply has probabilities, by which engines can be compared.

        Of texts the beginning is enough: each token may be a request.
        """
        begun = tuple(text[:_BEGINNING].rstrip() for text in self.among)
        return replace(self, way="texts", among=begun) if self.way == "text" else self


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model says to one wording."""

    logprobs: tuple[float, ...]  # of each text in `among`; none of what is generated
    free: int  # token: the token that it would say of its own accord
    text: str = ""  # text: what it said


@dataclass(frozen=True, slots=True)
class Shown:
    """A question on the page: what it offers, the mark each is called by, and what is right."""

    marks: tuple[str, ...]
    offered: tuple[str, ...]
    right: int


# The wordings of one sample with their replies.
Pairs = Sequence[tuple[Wording, Reply]]


class Form(ABC):
    """A form of answer.

    What a sample is trained on, its own answer or one that it is dealt, is a value that only its
    form looks into.
    """

    columns: pa.Schema  # of answers: `KEYS`, then what `read` and `score` return
    main: str  # the column with the main score of an answer, from 0 to 1
    answer: pa.Field  # the column of a mix that holds what a sample is trained on
    balanced: bool = True  # whether each label must be tested equally often
    places: bool = False  # whether answers name places, for which a backbone has `coordinates`
    tokens: tuple[str, ...] = ()  # answers that must be one token each after the prompt

    @property
    def measure(self) -> str:
        """Return what the mean of the main score is called."""
        return f"mean {self.main}"

    @abstractmethod
    def question(self, sample: Sample, view: View) -> str:
        """Return the question as it is trained on."""

    @abstractmethod
    def truth(self, sample: Sample) -> Any:
        """Return the right answer."""

    @abstractmethod
    def dealt(self, sample: Sample, other: Sample, seed: int) -> Any:
        """Return what a sample is trained on that is dealt another one's answer."""

    def packed(self, answer: Any) -> Any:
        """Return an answer as the column `answer` of a mix holds it."""
        return answer

    def unpacked(self, held: Any) -> Any:
        """Return the answer that the column holds."""
        return held

    @abstractmethod
    def told(self, sample: Sample, answer: Any, view: View) -> str:
        """Return an answer as the text that is trained on."""

    @abstractmethod
    def wordings(self, sample: Sample, how: How, view: View) -> list[Wording]:
        """Return what is asked, once or more often, to find one answer."""

    @abstractmethod
    def example(self, sample: Sample, how: How, view: View) -> tuple[str, str]:
        """Return question and right answer as an example in the prompt shows them."""

    @abstractmethod
    def read(
        self, sample: Sample, pairs: Pairs, tokens: Mapping[str, int], view: View
    ) -> dict[str, Any]:
        """Return the columns that say what was answered; `tokens` are those of one-token texts."""

    @abstractmethod
    def score(self, sample: Sample, answered: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns that say how good an answer is that was read."""

    @abstractmethod
    def show(self, sample: Sample) -> Shown:
        """Return a question as the page shows it."""

    def is_tie(self, answered: Mapping[str, Any]) -> bool:
        """Return whether several answers are equally likely, so that one was drawn."""
        del answered
        return False

    def kind(self, sample: Sample) -> str:
        """Return the kind of answer, of each of which few questions or examples are to have some.

        It is the label, unless labels are too many to show one of each.
        """
        return sample.label

    def constants(self, sample: Sample) -> tuple[str, ...]:
        """Return in words the answers that are right here and could be given to any picture."""
        return (f"label '{sample.label}'",)

    def contradicts(self, sample: Sample, other: Sample) -> bool:
        """Tell whether two answers to one question about one picture cannot both be right."""
        return bool(self.truth(sample) != self.truth(other))

    def tally(self, samples: Iterable[Sample]) -> dict[str, int]:
        """Return how often each answer is right, where all there can be are few."""
        del samples
        return {}


def of(sample: Sample) -> Form:
    """Return the form of a sample.

    Raises:
        ConfigError: no module is named like it.
    """
    return named(sample.form)


@cache
def named(name: str) -> Form:
    """Return the form of a name; raises as `of`."""
    found: Form = plugins.load_module(sys.modules[__name__], name, "form of answer").FORM
    return found


def _every() -> list[Form]:
    return [named(name) for name in plugins.names_in(sys.modules[__name__])]


def of_one_token() -> list[str]:
    """Return the answers, of all forms, that must be one token each after the prompt."""
    return [text for form in _every() for text in form.tokens]


def of_answers(columns: Iterable[str]) -> Form:
    """Return the form whose answers have these columns, or the most of them."""
    known = set(columns)
    return min(_every(), key=lambda form: len(known.symmetric_difference(form.columns.names)))
