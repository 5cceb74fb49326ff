"""Multiple choice: options under letters, of which one is right.

Drawn anew, asked by letter, by the options' texts or in free text, and read off the reply.
"""

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from string import ascii_uppercase
from typing import Any

import numpy as np
import pyarrow as pa

from matcg.errors import DataError
from matcg.forms import ACCURACY, KEYS, Form, How, Pairs, Shown, View, Wording
from matcg.samples import Sample
from matcg.seeds import derive
from matcg.words import one_form, tidy

OPTION_LETTERS = ascii_uppercase
INSTRUCTION = "Answer with the option's letter from the given choices directly."
UNPARSED = -1
ANSWER_SCHEMA = pa.schema(
    [
        *KEYS,
        ("n_options", pa.int8()),
        ("answer", pa.int8()),
        ("predicted", pa.int8()),
        ("strict", pa.bool_()),
        ("mass", pa.float64()),
        ("probabilities", pa.list_(pa.field("element", pa.float64()))),
        ("correct", pa.bool_()),
        ("verdicts", pa.list_(pa.field("element", pa.int8()))),
    ]
)

# A capital that is a word of its own; "A" and "I" before another word are English, not letters.
LETTER = re.compile(r"(?<![\w.'\u2019-])([A-Z])(?![\w'\u2019-]|\.\w)(?!(?<=[AI])\s+\w\w)")


class Choice(Form):
    """Several options, asked for by letter."""

    columns = ANSWER_SCHEMA
    main = "correct"
    measure = ACCURACY
    answer = pa.field("answer", pa.int8())
    tokens = tuple(OPTION_LETTERS)

    def question(self, sample: Sample, view: View) -> str:
        """Return the paper's template over the sample's options."""
        del view
        return question_text(sample.question, sample.options)

    def truth(self, sample: Sample) -> int:
        """Return the place of the right option."""
        return sample.answer

    def dealt(self, sample: Sample, other: Sample, seed: int) -> int:
        """Return where the other's right answer stands here, a random place where it does not."""
        text, offered = normal(other.options[other.answer]), list(map(normal, sample.options))
        if text in offered:
            return offered.index(text)
        chance = random.Random(derive(seed, "option", sample.subset, sample.sample_id))
        return chance.randrange(len(sample.options))

    def told(self, sample: Sample, answer: Any, view: View) -> str:
        """Return the letter at a place."""
        del sample, view
        return OPTION_LETTERS[answer]

    def wordings(self, sample: Sample, how: How, view: View) -> list[Wording]:
        """Return the question in cyclic orders of its options, the sample's own first.

        Where options' texts are scored, the question is bare.
        """
        del view
        if how.scoring == "option-text":
            order = tuple(range(len(sample.options)))
            return [Wording(sample.question, "texts", sample.options, order)]
        letters = tuple(OPTION_LETTERS[: len(sample.options)])
        length = how.max_tokens if how.scoring == "generate" else 0
        return [
            Wording(
                question_text(sample.question, (sample.options[i] for i in order)),
                "text" if length else "token",
                letters,
                order,
                length,
            )
            for order in orders(len(sample.options), how.permutations)
        ]

    def example(self, sample: Sample, how: How, view: View) -> tuple[str, str]:
        """Return the question with the right letter, or bare with the right option's text."""
        if how.scoring == "option-text":
            return sample.question, sample.options[sample.answer]
        return self.question(sample, view), OPTION_LETTERS[sample.answer]

    def read(
        self, sample: Sample, pairs: Pairs, tokens: Mapping[str, int], view: View
    ) -> dict[str, Any]:
        """Return what was chosen, and how surely.

        `probabilities` are over the sample's options, a mean over the orders asked. `mass` is the
        probability of all valid letters; `strict` says that the model, left free, would have said
        the letter of the option chosen, in every order. `verdicts` has the option chosen in each.

        Where options' texts are scored nothing else can be said: mass 1, strict. Text that no
        answer can be read off has `predicted` -1, mass 0 and equal probabilities; of other text the
        mass is 1, and strict that it is the letter alone.
        """
        del view
        known = {"n_options": len(sample.options), "answer": sample.answer}
        if pairs[0][0].way == "text":
            return known | _from_text(sample, pairs)
        return known | _from_scores(sample, pairs, tokens)

    def score(self, sample: Sample, answered: Mapping[str, Any]) -> dict[str, Any]:
        """Return whether the right option was chosen."""
        return {"correct": answered["predicted"] == sample.answer}

    def is_tie(self, answered: Mapping[str, Any]) -> bool:
        """Return whether an answer was read, and several options are the likeliest."""
        return answered["predicted"] != UNPARSED and len(_best(answered["probabilities"])) > 1

    def show(self, sample: Sample) -> Shown:
        """Return the options under their letters."""
        return Shown(tuple(OPTION_LETTERS[: len(sample.options)]), sample.options, sample.answer)

    def constants(self, sample: Sample) -> tuple[str, ...]:
        """Return the right option and its letter."""
        option = normal(sample.options[sample.answer])
        return f"label '{option}'", f"letter {OPTION_LETTERS[sample.answer]}"

    def contradicts(self, sample: Sample, other: Sample) -> bool:
        """Tell whether what is right for one stands among the wrong options of the other."""
        right, others = (normal(each.options[each.answer]) for each in (sample, other))
        offered = [set(map(normal, each.options)) for each in (sample, other)]
        return right != others and (right in offered[1] or others in offered[0])

    def tally(self, samples: Iterable[Sample]) -> dict[str, int]:
        """Return how often each letter is right."""
        return dict(sorted(Counter(OPTION_LETTERS[each.answer] for each in samples).items()))


FORM = Choice()


def question_text(question: str, options: Iterable[str]) -> str:
    """Return the paper's template (its figure 8): question, an option a line, instruction."""
    lines = [f"{letter}: {option}" for letter, option in zip(OPTION_LETTERS, options, strict=False)]
    return "\n".join([question, *lines, INSTRUCTION])


def orders(options: int, permutations: int) -> list[tuple[int, ...]]:
    """Return cyclic orders of so many options, the first as they are."""
    return [
        tuple((place + shift) % options for place in range(options))
        for shift in range(min(permutations, options))
    ]


def _from_scores(sample: Sample, pairs: Pairs, tokens: Mapping[str, int]) -> dict[str, Any]:
    """Return a row's columns that hold the answer: the likeliest letter's or text's option."""
    shares = [_shared(wording.order, reply.logprobs) for wording, reply in pairs]
    probabilities = np.mean(shares, axis=0)
    predicted = _likeliest(probabilities, sample)
    strict, mass = True, 1.0
    if pairs[0][0].way == "token":
        strict = all(
            reply.free == tokens[wording.among[wording.order.index(predicted)]]
            for wording, reply in pairs
        )
        masses = [float(np.exp(np.array(reply.logprobs)).sum()) for _, reply in pairs]
        mass = float(np.mean(masses))
    return {
        "predicted": predicted,
        "strict": strict,
        "mass": mass,
        "probabilities": probabilities.tolist(),
        "verdicts": [_likeliest(share, sample) for share in shares],
    }


def _likeliest(probabilities: Sequence[float] | np.ndarray[Any, Any], sample: Sample) -> int:
    """Return the likeliest option; among equals each as often, whatever its place."""
    best = _best(probabilities)
    if len(best) == 1:
        return best[0]
    return random.Random(derive(0, "tie", sample.subset, sample.sample_id)).choice(best)


def _best(probabilities: Sequence[float] | np.ndarray[Any, Any]) -> list[int]:
    """Return the places of the options that are as likely as any, but for float64's rounding."""
    values = np.asarray(probabilities)
    return [int(place) for place in np.flatnonzero(values >= values.max() * (1 - 1e-12))]


def _from_text(sample: Sample, pairs: Pairs) -> dict[str, Any]:
    """Return a row's columns that hold the answer: the option that the text names."""
    ((wording, reply),) = pairs
    n = len(sample.options)
    place = parse(reply.text, [sample.options[i] for i in wording.order])
    predicted = UNPARSED if place is None else wording.order[place]
    parsed = place is not None
    return {
        "predicted": predicted,
        "strict": parsed and reply.text.strip() == OPTION_LETTERS[place or 0],
        "mass": float(parsed),
        "probabilities": [float(i == predicted) if parsed else 1 / n for i in range(n)],
        "verdicts": [predicted],
    }


def _shared(order: Sequence[int], logprobs: Sequence[float]) -> np.ndarray[Any, Any]:
    """Return the options' probabilities (n,) among themselves, in the sample's own order."""
    values = np.array(logprobs)
    weights = np.exp(values)
    if not weights.any():
        weights = np.exp(values - values.max())
    shares = np.empty(len(values))
    shares[list(order)] = weights / weights.sum()
    return shares


def parse(text: str, options: Sequence[str]) -> int | None:
    """Return the place of the option that `text` names, None where it names none or several.

    A letter counts first: one that begins the text, or else the only one in it. Then the only
    option whose words occur; one within a longer option's words does not count.
    """
    found = [match for match in LETTER.finditer(text) if match[1] in OPTION_LETTERS[: len(options)]]
    named = {match[1] for match in found}
    if found and (len(named) == 1 or not re.search(r"\w", text[: found[0].start()])):
        return OPTION_LETTERS.index(found[0][1])
    rest = tidy(one_form(text.casefold()))
    said = []
    for place in sorted(range(len(options)), key=lambda i: (-len(options[i]), i)):
        words = re.escape(tidy(one_form(options[place].casefold())))
        left, count = re.subn(rf"(?<!\w){words}(?!\w)", "|", rest) if words else (rest, 0)
        rest = left
        said += [place] if count else []
    return said[0] if len(said) == 1 else None


@lru_cache(4096)
def normal(text: str) -> str:
    """Return `text` without what tells no labels apart: case, spaces, punctuation at the end.

    Nor does a word's Unicode form, or what of it is not seen.
    """
    plain = tidy(one_form(text))
    return one_form((plain.rstrip(" .,;:!?") or plain).casefold())


def rebuild(
    samples: Sequence[Sample],
    names: Sequence[str],
    most: int,
    instructions: Sequence[str],
    seed: int,
) -> list[Sample]:
    """Return the samples, in their order, each with its label among others of the subset.

    `names` are the subset's labels, `most` is how many are offered where there are so many;
    `instructions` replace the samples' own questions where there are any.

    Distractors and instruction depend on the sample alone, the position of the right answer also on
    those before it: each letter is right equally often (paper, section on data; its own draws are
    not published).

    Raises:
        DataError: there is but one label.
    """
    if len(names) < 2:
        raise DataError(
            f"options cannot be rebuilt: the only label is '{' '.join(names)}'; a question needs a"
            " wrong answer too, so leave option `rebuild` out"
        )
    n = min(most, len(names))
    labels = [each.label for each in samples]
    ids = [each.sample_id for each in samples]
    rebuilt = []
    for sample, place in zip(samples, letters(labels, n, ids, seed), strict=True):
        chance = random.Random(derive(seed, "options", sample.sample_id))
        options = chance.sample([name for name in names if name != sample.label], n - 1)
        options.insert(place, sample.label)
        question = sample.question
        if instructions:
            question = instructions[
                derive(seed, "instruction", sample.sample_id) % len(instructions)
            ]
        rebuilt.append(replace(sample, options=tuple(options), answer=place, question=question))
    return rebuilt


def turned(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Return samples of as many options each, with these turned so that `letters` are right."""
    n = len(samples[0].options) if samples else 0
    labels, names = [each.label for each in samples], [each.sample_id for each in samples]
    found = []
    for sample, place in zip(samples, letters(labels, n, names, seed), strict=True):
        first = (sample.answer - place) % n
        options = sample.options[first:] + sample.options[:first]
        found.append(replace(sample, options=options, answer=place))
    return found


def letters(labels: Sequence[str], n: int, names: Sequence[str], seed: int) -> list[int]:
    """Return the position of the right answer for each sample of a sequence, one after the other.

    `n` is how many options each question offers; `names` are the sample ids, which decide where
    nothing else does. Letters differ by at most one in how often they are right within a label, and
    thus over all by no more than there are labels.
    """
    of_all = [0] * n
    of_label = {label: list(of_all) for label in labels}
    found = []
    for label, name in zip(labels, names, strict=True):
        own = of_label[label]
        order = [(own[at], of_all[at], derive(seed, "letter", name, at), at) for at in range(n)]
        place = min(order)[-1]
        own[place] += 1
        of_all[place] += 1
        found.append(place)
    return found
