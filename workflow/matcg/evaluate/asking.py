"""Questions as a protocol asks them, and one row of answers a question read off the replies."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from PIL import Image

from matcg.config.backbone import Backbone
from matcg.config.protocol import Protocol
from matcg.errors import DataError
from matcg.images import decode, fit, pixel_digest
from matcg.prompts import continued, picture_of
from matcg.samples import LETTERS, Sample, question_text
from matcg.seeds import derive

if TYPE_CHECKING:
    from matcg.evaluate.engine import Reply

SCHEMA = pa.schema(
    [
        ("run", pa.string()),
        ("sample_id", pa.string()),
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
UNPARSED = -1
GREY = (128, 128, 128)

# A capital that is a word of its own; "A" and "I" before another word are English, not letters.
LETTER = re.compile(r"(?<![\w.'\u2019-])([A-Z])(?![\w'\u2019-]|\.\w)(?!(?<=[AI])\s+\w\w)")


@dataclass(frozen=True)
class Ask:
    """One request: a question in one order of its options."""

    sample_id: str
    prompt: str  # all text before the answer, with one image placeholder a picture
    pictures: tuple[Image.Image, ...]  # examples' pictures first, the question's last
    options: tuple[str, ...]  # in the order in which this prompt gives them
    order: tuple[int, ...]  # which option of the sample stands at each place

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """Return what names the pictures, made once however many runs are asked."""
        return tuple(map(pixel_digest, self.pictures))


def make_asks(
    samples: Sequence[Sample],
    protocol: Protocol,
    backbone: Backbone,
    draw: int = 0,
    pool: Sequence[Sample] = (),
) -> list[Ask]:
    """Return the requests for one target's questions: a sample's cyclic orders follow each other.

    `pool` are the target's training samples, of which draw number `draw` takes the examples. Those
    keep their own pictures and orders whatever the protocol does to the question's.

    Raises:
        DataError: an image cannot be decoded, there are too few examples of a label, or no other
            picture to shuffle in.
    """
    examples = choose_examples(samples, protocol, draw, pool) if protocol.shots else []
    stem = "".join(_told(sample, protocol, backbone) for sample in examples)
    shown = [picture_of(sample, backbone) for sample in examples]
    donors = shuffled(samples, protocol.seed) if protocol.image == "shuffled" else {}
    asks = []
    for sample in samples:
        picture = _picture(donors.get(sample.sample_id, sample), protocol, backbone)
        for order in _orders(len(sample.options), protocol.permutations):
            options = tuple(sample.options[i] for i in order)
            prompt = stem + _prompt(sample.question, options, protocol, backbone)
            asks.append(Ask(sample.sample_id, prompt, (*shown, picture), options, order))
    return asks


def _orders(options: int, permutations: int) -> list[tuple[int, ...]]:
    """Return cyclic orders, the sample's own first."""
    return [
        tuple((place + shift) % options for place in range(options))
        for shift in range(min(permutations, options))
    ]


def _prompt(question: str, options: Iterable[str], protocol: Protocol, backbone: Backbone) -> str:
    """Return the text before the answer; where options' texts are scored, the question is bare."""
    bare = protocol.scoring == "option-text"
    return backbone.prompt.replace(
        "{question}", question if bare else question_text(question, options)
    )


def _told(sample: Sample, protocol: Protocol, backbone: Backbone) -> str:
    """Return an example: its prompt, the right answer, the end of the turn."""
    bare = protocol.scoring == "option-text"
    answer = sample.options[sample.answer] if bare else LETTERS[sample.answer]
    prompt = _prompt(sample.question, sample.options, protocol, backbone)
    return continued(prompt, answer) + backbone.turn_end


def _picture(sample: Sample, protocol: Protocol, backbone: Backbone) -> Image.Image:
    """Return what is shown with a question, as the backbone sees it."""
    if protocol.image != "blank":
        return picture_of(sample, backbone)
    size = decode(sample.image, f"{sample.subset}, sample {sample.sample_id}").size
    grey = Image.new("RGB", size, GREY)
    return fit(grey, backbone.image.size, backbone.image.geometry)


def choose_examples(
    samples: Sequence[Sample], protocol: Protocol, draw: int, pool: Sequence[Sample]
) -> list[Sample]:
    """Return `shots` training samples a label of the target's questions, or in all, mixed.

    The choice depends on the seed, the target and the draw, not on the order of `pool`. What shows
    a picture of a test question, by file or by fingerprint, is never an example.

    Raises:
        DataError: a label has too few training samples.
    """
    target = samples[0].subset
    tested = {mark for sample in samples for mark in (sample.image, sample.fingerprint) if mark}
    free = [sample for sample in pool if not tested & {sample.image, sample.fingerprint}]
    chance = random.Random(derive(protocol.seed, "examples", target, draw))
    chosen = []
    for label, n in _wanted(samples, protocol, chance).items():
        at_hand = sorted((s for s in free if s.label == label), key=lambda s: s.sample_id)
        if len(at_hand) < n:
            raise DataError(
                f"{target}: protocol {protocol.name} needs {n} examples of label"
                f" '{label}', of which there are {len(at_hand)} training samples whose pictures are"
                " not tested; lower `shots`, or leave this target out"
            )
        chosen += chance.sample(at_hand, n)
    chance.shuffle(chosen)
    return chosen


def _wanted(samples: Sequence[Sample], protocol: Protocol, chance: random.Random) -> dict[str, int]:
    """Return how many examples of each label are shown."""
    labels = sorted({sample.label for sample in samples})
    if protocol.per == "label":
        return dict.fromkeys(labels, protocol.shots)
    chance.shuffle(labels)
    return Counter(label for _, label in zip(range(protocol.shots), cycle(labels), strict=False))


def shuffled(samples: Sequence[Sample], seed: int) -> dict[str, Sample]:
    """Return by sample id whose picture is shown instead: each once, never the sample's own.

    The same for any order of `samples`.

    Raises:
        DataError: half of the questions or more, one picture, cannot be shown another one.
    """
    target = samples[0].subset
    chance = random.Random(derive(seed, "shuffled", target))
    mixed = sorted(samples, key=lambda sample: sample.sample_id)
    chance.shuffle(mixed)
    counts = Counter(map(_shows, mixed))
    # Questions about one picture stand together: a shift by the largest such group leaves all.
    first: dict[str | bytes, int] = {}
    for place, sample in enumerate(mixed):
        first.setdefault(_shows(sample), place)
    mixed.sort(key=lambda sample: first[_shows(sample)])
    largest = max(counts.values())
    if 2 * largest > len(mixed):
        raise DataError(
            f"{target}: {largest} of {len(mixed)} test questions show the same picture, so that not"
            " each can be asked about another one; leave the shuffled picture out for this target"
        )
    return {
        sample.sample_id: mixed[(place + largest) % len(mixed)]
        for place, sample in enumerate(mixed)
    }


def _shows(sample: Sample) -> str | bytes:
    """Return what is the same for two samples that show one picture."""
    return sample.fingerprint or sample.image


def tabulate(
    name: str,
    samples: Sequence[Sample],
    protocol: Protocol,
    asks: Sequence[Ask],
    replies: Sequence["Reply"],
    letters: Sequence[int],
) -> pa.Table:
    """Return one row a question (`SCHEMA`), of run and protocol `name`.

    `probabilities` are over the sample's options, a mean over the orders asked. `mass` is the
    probability of all valid letters; `strict` says that the model, left free, would have said the
    letter of the option chosen, in every order. `verdicts` has the option chosen in each order.

    Where options' texts are scored nothing else can be said: mass 1, strict. Text that no answer
    can be read off has `predicted` -1, mass 0 and equal probabilities; of other text the mass is 1,
    and strict that it is the letter alone.
    """
    pairs = groupby(zip(asks, replies, strict=True), key=lambda pair: pair[0].sample_id)
    read = READERS[protocol.scoring]
    rows = [
        {
            "run": name,
            "sample_id": sample.sample_id,
            "n_options": len(sample.options),
            "answer": sample.answer,
            **(found := read(list(group), letters)),
            "correct": found["predicted"] == sample.answer,
        }
        for sample, (_, group) in zip(samples, pairs, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


Pairs = Sequence[tuple[Ask, "Reply"]]


def _by_letter(pairs: Pairs, letters: Sequence[int]) -> dict[str, Any]:
    """Return a row's columns that hold the answer: the likeliest letter's option."""
    shares = [_shared(ask, reply.logprobs) for ask, reply in pairs]
    probabilities = np.mean(shares, axis=0)
    predicted = int(np.argmax(probabilities))
    masses = [float(np.exp(np.array(reply.logprobs)).sum()) for _, reply in pairs]
    return {
        "predicted": predicted,
        "strict": all(reply.free == letters[ask.order.index(predicted)] for ask, reply in pairs),
        "mass": float(np.mean(masses)),
        "probabilities": probabilities.tolist(),
        "verdicts": [int(np.argmax(share)) for share in shares],
    }


def _by_option(pairs: Pairs, _: Sequence[int]) -> dict[str, Any]:
    """Return a row's columns that hold the answer: the option with the likeliest text."""
    ((ask, reply),) = pairs
    probabilities = _shared(ask, reply.logprobs)
    predicted = int(np.argmax(probabilities))
    return {
        "predicted": predicted,
        "strict": True,
        "mass": 1.0,
        "probabilities": probabilities.tolist(),
        "verdicts": [predicted],
    }


def _by_text(pairs: Pairs, _: Sequence[int]) -> dict[str, Any]:
    """Return a row's columns that hold the answer: the option that the text names."""
    ((ask, reply),) = pairs
    n = len(ask.options)
    place = parse(reply.text, ask.options)
    predicted = UNPARSED if place is None else ask.order[place]
    parsed = place is not None
    return {
        "predicted": predicted,
        "strict": parsed and reply.text.strip() == LETTERS[place or 0],
        "mass": float(parsed),
        "probabilities": [float(i == predicted) if parsed else 1 / n for i in range(n)],
        "verdicts": [predicted],
    }


READERS: dict[str, Callable[[Pairs, Sequence[int]], dict[str, Any]]] = {
    "letter": _by_letter,
    "option-text": _by_option,
    "generate": _by_text,
}


def _shared(ask: Ask, logprobs: Sequence[float]) -> np.ndarray[Any, Any]:
    """Return the options' probabilities (n,) among themselves, in the sample's own order."""
    values = np.array(logprobs)
    weights = np.exp(values)
    if not weights.any():
        weights = np.exp(values - values.max())
    shares = np.empty(len(values))
    shares[list(ask.order)] = weights / weights.sum()
    return shares


def parse(text: str, options: Sequence[str]) -> int | None:
    """Return the place of the option that `text` names, None where it names none or several.

    A letter counts first: one that begins the text, or else the only one in it. Then the only
    option whose words occur; one within a longer option's words does not count.
    """
    found = [match for match in LETTER.finditer(text) if match[1] in LETTERS[: len(options)]]
    named = {match[1] for match in found}
    if found and (len(named) == 1 or not re.search(r"\w", text[: found[0].start()])):
        return LETTERS.index(found[0][1])
    rest = " ".join(text.casefold().split())
    said = []
    for place in sorted(range(len(options)), key=lambda i: (-len(options[i]), i)):
        words = re.escape(" ".join(options[place].casefold().split()))
        left, count = re.subn(rf"(?<!\w){words}(?!\w)", "|", rest) if words else (rest, 0)
        rest = left
        said += [place] if count else []
    return said[0] if len(said) == 1 else None
