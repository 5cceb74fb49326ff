"""Turns samples into a model's input, while the model works on the ones before."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from matcg import forms
from matcg.config.backbone import Backbone
from matcg.literal import marked_answer, marked_sample
from matcg.models.asked_text import plain, reader_of
from matcg.models.prompts import (
    answer_or_error,
    begins_itself,
    boundary,
    continued,
    picture_of,
    prompt_of,
    view_of,
)
from matcg.samples import Sample
from matcg.train.tasks import TrainingSample

DEPTH = 2  # batches that are made ready ahead
MEMORY_SHARE = 8  # of a job's memory, decoded pictures take at most one part in so many

Item = TypeVar("Item")
Made = TypeVar("Made")


class Pictures:
    """Samples' pictures as the backbone sees them, decoded once a run as far as `room` reaches.

    Args:
        room: bytes.
        workers: threads that decode beside the caller's.
    """

    def __init__(self, backbone: Backbone, room: int = 0, workers: int = 0) -> None:
        self._backbone = backbone
        self._each = 3 * backbone.image.size**2
        self._places = room // self._each
        self._kept: dict[tuple[str, str], Image.Image] = {}
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers) if workers else None

    def of(self, samples: Sequence[Sample]) -> list[Image.Image]:
        """Return the samples' pictures.

        Raises:
            DataError: one cannot be decoded.
        """
        return list(self._pool.map(self._one, samples) if self._pool else map(self._one, samples))

    def _one(self, sample: Sample) -> Image.Image:
        name = (sample.subset, sample.sample_id)
        found = self._kept.get(name)
        if found is None:
            found = picture_of(sample, self._backbone)
            if len(self._kept) < self._places:
                self._kept[name] = found
        return found


@dataclass(frozen=True, slots=True)
class Inputs:
    """A model's inputs for some tasks: in each row a prompt and its answer but for the last token.

    Attributes:
        lengths: tokens of each row, image included.
        answers: the tokens of each answer, which are foretold at the row's last places.
    """

    tasks: Sequence[TrainingSample]
    tensors: dict[str, Tensor]
    lengths: list[int]
    answers: list[list[int]]


@dataclass(frozen=True, slots=True)
class Collator:
    """Turns samples into a model's input, in the backbone's prompt and image geometry."""

    processor: Any
    backbone: Backbone
    tokens: Mapping[str, int]  # of answers that are one token each
    device: torch.device
    pictures: Pictures
    # Answers as text, which are asked for in each epoch, and are slow to write for masks.
    _told: dict[tuple[str, str, Any], str] = field(default_factory=dict)

    def ready(self, parts: Sequence[Sequence[TrainingSample]]) -> list[Inputs]:
        """Return the inputs of some tasks, part by part."""
        return [self._ready(tasks) for tasks in parts]

    def _ready(self, tasks: Sequence[TrainingSample]) -> Inputs:
        texts = [self.told(task) for task in tasks]
        answers = [self._learnt(task, text) for task, text in zip(tasks, texts, strict=True)]
        ends = [text if len(ids) > 1 else "" for text, ids in zip(texts, answers, strict=True)]
        # On the CPU still, where lengths can be read without waiting for a GPU.
        tensors = self.encode([task.sample for task in tasks], ends)
        lengths = tensors["attention_mask"].sum(dim=1).tolist()
        for row, (task, text, ids) in enumerate(zip(tasks, texts, answers, strict=True)):
            told = tensors["input_ids"][row, lengths[row] - len(ids) + 1 : lengths[row]]
            if told.tolist() != ids[:-1]:
                raise boundary(self.backbone, task.sample.sample_id, text)
        return Inputs(tasks, tensors, lengths, answers)

    def told(self, task: TrainingSample) -> str:
        """Return a task's answer as text, in which that of the data is marked."""
        sample, view = task.sample, view_of(self.backbone)
        name = (sample.subset, sample.sample_id, task.answer)
        if name not in self._told:
            answer = marked_answer(task.answer)
            self._told[name] = forms.of(sample).told(marked_sample(sample), answer, view)
        return self._told[name]

    def _learnt(self, task: TrainingSample, text: str) -> list[int]:
        """Return the tokens of an answer; where there are several one more ends the text."""
        if text in self.tokens:
            return [self.tokens[text]]
        tokenizer = self.processor.tokenizer
        ids = answer_or_error(tokenizer, self.backbone, task.sample.sample_id, text)
        return [*ids, tokenizer.eos_token_id]

    def encode(self, samples: Sequence[Sample], answers: Sequence[str] = ()) -> dict[str, Tensor]:
        """Return the processor's tensors on the CPU, padded on the right.

        `answers` follow the prompts, where they are not empty.
        """
        tokenizer = self.processor.tokenizer
        prompts = [prompt_of(marked_sample(sample), self.backbone) for sample in samples]
        texts = [
            plain(tokenizer, continued(prompt, answer) if answer else prompt)
            for prompt, answer in zip_longest(prompts, answers)
        ]
        reader = reader_of(self.processor, texts)
        reader.tokenizer.padding_side = "right"
        encoded = reader(
            text=texts,
            # Mllama's processor takes a flat list for the pictures of the first text alone.
            images=[[picture] for picture in self.pictures.of(samples)],
            add_special_tokens=not begins_itself(tokenizer, self.backbone),
            padding=True,
            return_tensors="pt",
        )
        return dict(encoded.items())

    def inputs(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Return the processor's tensors on the device."""
        return self.sent(self.encode(samples))

    def sent(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors on the device."""
        return {name: value.to(self.device) for name, value in tensors.items()}


def ahead(
    make: Callable[[Item], Made], items: Iterable[Item], threaded: bool
) -> Iterator[tuple[Item, Callable[[], Made]]]:
    """Yield each item with what returns `make(item)`; a thread makes the next ones meanwhile.

    One thread only: a fast tokeniser cannot be used by two at a time.
    """
    if not threaded:
        for item in items:
            yield item, partial(make, item)
        return
    waiting: deque[tuple[Item, Future[Made]]] = deque()
    with ThreadPoolExecutor(1) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(make, item)))
                if len(waiting) > DEPTH:
                    first, made = waiting.popleft()
                    yield first, made.result
            for first, made in waiting:
                yield first, made.result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
