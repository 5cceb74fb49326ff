"""Questions as a protocol asks them, and one row of answers a question read off the replies."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import cycle, groupby

import pyarrow as pa
from PIL import Image

from matcg import forms
from matcg.config.backbone import Backbone
from matcg.config.protocol import Protocol
from matcg.errors import DataError
from matcg.forms import Reply, View, Wording
from matcg.images import decode, pixel_digest
from matcg.literal import marked_sample, unmarked
from matcg.models.prompts import continued, picture_of, seen, view_of
from matcg.samples import Sample
from matcg.seeds import derive

GREY_PIXEL = (128, 128, 128)


@dataclass(frozen=True)
class Ask:
    """One request: a question in one of its wordings.

    `marked` is all text before the answer, with one image placeholder a picture, in which text of
    the data is marked (literal.py); so is it in the texts that are scored.
    """

    sample_id: str
    marked: str
    pictures: tuple[Image.Image, ...]  # examples' pictures first, the question's last
    wording: Wording

    @property
    def prompt(self) -> str:
        """Return the text as it is seen."""
        return unmarked(self.marked)

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """Return what names the pictures, made once however many runs are asked."""
        return tuple(map(pixel_digest, self.pictures))

    def scored(self) -> "Ask":
        """Return the request for probabilities, by which engines can be compared."""
        return replace(self, wording=self.wording.scored())


def make_asks(
    samples: Sequence[Sample],
    protocol: Protocol,
    backbone: Backbone,
    draw: int = 0,
    pool: Sequence[Sample] = (),
) -> list[Ask]:
    """Return the requests for one target's questions: a sample's wordings follow each other.

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
        for wording, question in _wordings(sample, protocol, view_of(backbone)):
            prompt = stem + backbone.prompt.replace("{question}", question)
            asks.append(Ask(sample.sample_id, prompt, (*shown, picture), wording))
    return asks


def _wordings(sample: Sample, protocol: Protocol, view: View) -> Iterator[tuple[Wording, str]]:
    """Yield a sample's wordings, each with its question as it is marked."""
    form, known = forms.of(sample), marked_sample(sample)
    pairs = zip(*(form.wordings(each, protocol, view) for each in (sample, known)), strict=True)
    for wording, other in pairs:
        among = other.among if wording.way == "texts" else wording.among
        yield replace(wording, among=among), other.question


def _told(sample: Sample, protocol: Protocol, backbone: Backbone) -> str:
    """Return an example: its prompt, the right answer, the end of the turn."""
    known = marked_sample(sample)
    question, answer = forms.of(sample).example(known, protocol, view_of(backbone))
    prompt = backbone.prompt.replace("{question}", question)
    return continued(prompt, answer) + backbone.turn_end


def _picture(sample: Sample, protocol: Protocol, backbone: Backbone) -> Image.Image:
    """Return what is shown with a question, as the backbone sees it."""
    if protocol.image != "blank":
        return picture_of(sample, backbone)
    size = decode(sample.image, f"{sample.subset}, sample {sample.sample_id}").size
    return seen(Image.new("RGB", size, GREY_PIXEL), backbone)


def choose_examples(
    samples: Sequence[Sample], protocol: Protocol, draw: int, pool: Sequence[Sample]
) -> list[Sample]:
    """Return `shots` training samples a kind of the target's questions, or in all, mixed.

    The kinds are the labels, or whether anything is to be found (`Form.kind`).
    The choice depends on the seed, the target and the draw, not on the order of `pool`. What shows
    a picture of a test question, by file or by fingerprint, is never an example.

    Raises:
        DataError: a kind has too few training samples.
    """
    target, kind = samples[0].subset, forms.of(samples[0]).kind
    tested = {mark for sample in samples for mark in (sample.image, sample.fingerprint) if mark}
    free = [sample for sample in pool if not tested & {sample.image, sample.fingerprint}]
    chance = random.Random(derive(protocol.seed, "examples", target, draw))
    chosen = []
    for label, n in _wanted(set(map(kind, samples)), protocol, chance).items():
        at_hand = sorted((s for s in free if kind(s) == label), key=lambda s: s.sample_id)
        if len(at_hand) < n:
            raise DataError(
                f"{target}: protocol {protocol.name} needs {n} examples of label"
                f" '{label}', of which there are {len(at_hand)} training samples whose pictures are"
                " not tested; lower `shots`, or leave this target out"
            )
        chosen += chance.sample(at_hand, n)
    chance.shuffle(chosen)
    return chosen


def _wanted(kinds: Iterable[str], protocol: Protocol, chance: random.Random) -> dict[str, int]:
    """Return how many examples of each kind are shown."""
    labels = sorted(kinds)
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
    asks: Sequence[Ask],
    replies: Sequence[Reply],
    tokens: Mapping[str, int],
    view: View,
) -> pa.Table:
    """Return one row a question, of run and protocol `name`, in the columns of the samples' form.

    `tokens` are those of the answers that are one token each, `view` is that of the backbone.
    """
    pairs = groupby(zip(asks, replies, strict=True), key=lambda pair: pair[0].sample_id)
    rows = []
    for sample, (_, group) in zip(samples, pairs, strict=True):
        form = forms.of(sample)
        said = form.read(sample, [(ask.wording, reply) for ask, reply in group], tokens, view)
        found = said | form.score(sample, said)
        rows.append({"run": name, "sample_id": sample.sample_id, **found})
    return pa.Table.from_pylist(rows, schema=forms.of(samples[0]).columns)
