"""Which samples a backbone is not asked: those beyond its context, and what it cannot be given.

A token holds a byte or more, so that most texts are known to fit without being tokenised.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from matcg import forms, told
from matcg.config.backbone import Backbone
from matcg.errors import DataError
from matcg.literal import marked_answer, marked_sample
from matcg.models.asked_text import check_characters, encode_all, specials
from matcg.models.messages import IMAGE
from matcg.models.prompts import begins_itself, continued, prompt_of, view_of
from matcg.provenance import read_record
from matcg.samples import Sample, form_in, read_table, samples_in

ROOM = "room.json"
_MORE = 8  # tokens that a tokeniser may add at the ends of a text
_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Room:
    """What a backbone takes: tokens in all, of which so many more than one go to a picture.

    `special` are the texts that its tokeniser takes for special tokens.
    """

    context: int
    picture: int
    special: tuple[str, ...]


def measure(backbone: Backbone, samples: Mapping[str, Path], out: Path, measured: str) -> None:
    """Write to `out` which of a subset's samples a backbone is not asked, by side, and why.

    `measured` is the digest of what decides it. What does not depend on samples is kept in the
    folder above.

    Raises:
        DataError: the samples, or the folder, are those of others.
    """
    digest = {told.samples_digest(path) for path in samples.values()}
    ruler = Ruler(backbone, out.parents[1] / ROOM)
    aside = {
        side: dict(ruler.aside(read_table(path, pictures=False))) for side, path in samples.items()
    }
    known = {"digest": digest.pop(), "measured": measured, "aside": aside}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass
class Ruler:
    """Measures samples by a backbone; what it takes is kept in the file `kept`."""

    backbone: Backbone
    kept: Path

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoProcessor

        where = {
            "revision": self.backbone.revision,
            "trust_remote_code": self.backbone.trust_remote_code,
        }
        return AutoProcessor.from_pretrained(self.backbone.weights, **where)

    @cached_property
    def room(self) -> Room:
        """Return what the backbone takes."""
        found = read_record(self.kept)
        if found:
            return Room(found["context"], found["picture"], tuple(found["special"]))
        room = room_of(self._processor, self.backbone)
        self.kept.parent.mkdir(parents=True, exist_ok=True)
        part = self.kept.with_name(f"{self.kept.name}.{os.getpid()}")
        part.write_text(json.dumps(asdict(room)) + "\n", encoding="utf-8")
        part.replace(self.kept)
        return room

    def aside(self, table: pa.Table) -> Iterable[tuple[str, str]]:
        """Yield the id of each sample of a table that is not asked, and the reason."""
        if self.backbone.commands:
            # It is given text, in which pictures have a place that it finds by itself.
            yield from (
                (
                    each.sample_id,
                    f"picture's place: its text holds {IMAGE}, of which a command"
                    " would make another picture",
                )
                for each in samples_in(table)
                if IMAGE in _data_of(each)
            )
            return
        left = table.filter(pc.invert(self._short(table)))
        rest = [sample for sample in samples_in(left) if not self._fits(sample)]
        for start in range(0, len(rest), _BATCH):
            yield from self._measured(rest[start : start + _BATCH])

    @cached_property
    def _special(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self.room.special)))

    def _short(self, table: pa.Table) -> pa.Array:
        """Return which samples surely fit, column by column, where the answer is one token.

        A prompt is then as much longer than question and options as another with as many options.
        """
        questions, lists = (table[n].combine_chunks() for n in ("question", "options"))
        if not forms.named(form_in(table)).tokens or not len(table):
            return pa.array([False] * len(table), pa.bool_())
        options, counts = lists.flatten(), lists.value_lengths().to_numpy()
        ends = counts.cumsum()

        def over(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
            """Return the sum over each sample's options."""
            sums: npt.NDArray[Any] = np.concatenate([[0], values.cumsum()])
            return np.asarray(sums[ends] - sums[ends - counts])

        odd = [
            np.asarray(pc.or_(pc.invert(pc.string_is_ascii(each)), self._holds_special(each)))
            for each in (questions, options)
        ]
        sizes = [
            np.asarray(pc.binary_length(each)).astype(np.int64) for each in (questions, options)
        ]
        _, first, kinds = np.unique(counts, return_index=True, return_inverse=True)
        data = sizes[0] + over(sizes[1])
        some = samples_in(table.take(first))
        more = np.array([len(self._said(s, forms.of(s).truth(s)).encode()) for s in some])
        length = data + (more - data[first])[kinds] + self.room.picture + _MORE
        return pa.array((length <= self.room.context) & ~odd[0] & (over(odd[1]) == 0))

    def _holds_special(self, texts: pa.Array) -> pa.Array:
        return pc.match_substring_regex(texts, self._special.pattern)

    def _fits(self, sample: Sample) -> bool:
        """Tell whether a sample surely fits, by its bytes."""
        text = self._said(sample, forms.of(sample).truth(sample))
        size = len(text) + self.room.picture + _MORE
        return (
            text.isascii()
            and size <= self.room.context
            and not self._special.search(_data_of(sample))
        )

    def _said(self, sample: Sample, answer: Any) -> str:
        """Return prompt and answer."""
        told = forms.of(sample).told(sample, answer, view_of(self.backbone))
        return continued(prompt_of(sample, self.backbone), told)

    def _measured(self, samples: Sequence[Sample]) -> Iterable[tuple[str, str]]:
        tokenizer, room = self._processor.tokenizer, self.room
        texts = [
            self._said(marked_sample(each), marked_answer(forms.of(each).truth(each)))
            for each in samples
        ]
        begins = not begins_itself(tokenizer, self.backbone)
        for sample, text, ids in zip(
            samples, texts, encode_all(tokenizer, texts, begins), strict=True
        ):
            length = len(ids) + room.picture
            if length > room.context:
                yield (
                    sample.sample_id,
                    (
                        f"too long: {length} tokens with its picture, of which {self.backbone.name}"
                        f" takes {room.context}"
                    ),
                )
                continue
            try:
                check_characters(tokenizer, text, sample.sample_id)
            except DataError as error:
                yield sample.sample_id, f"special token: {error}"


def room_of(processor: Any, backbone: Backbone) -> Room:
    """Return what a backbone takes, by its processor and the configuration of its weights."""
    from PIL import Image
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(
        backbone.weights,
        revision=backbone.revision,
        trust_remote_code=backbone.trust_remote_code,
    )
    edge, tokenizer = backbone.image.size, processor.tokenizer
    begins = {"add_special_tokens": not begins_itself(tokenizer, backbone)}
    seen = processor(text=[backbone.prompt], images=[[Image.new("RGB", (edge, edge))]], **begins)
    text = tokenizer(backbone.prompt, **begins)["input_ids"]
    return Room(
        int(config.get_text_config().max_position_embeddings),
        len(seen["input_ids"][0]) - len(text),
        tuple(sorted(specials(tokenizer))),
    )


def _data_of(sample: Sample) -> str:
    """Return all text of a sample."""
    return "\n".join([sample.question, *sample.options, *(f.label for f in sample.findings)])
