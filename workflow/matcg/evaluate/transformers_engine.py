"""Answers through transformers, in batches: for classes that vLLM lacks, and to check vLLM by."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import xgrammar
from torch import Tensor
from transformers.utils import logging
from xgrammar.contrib.hf import LogitsProcessor

from matcg.config.backbone import Backbone
from matcg.config.workflow import PROMPTS
from matcg.evaluate.engine import Engine, option_tokens, pattern_of, reply_of, too_long
from matcg.evaluate.requests import Ask
from matcg.forms import Reply, of_one_token
from matcg.models.asked_text import plain, reader_of
from matcg.models.checks import check_processor
from matcg.models.device import device_kind
from matcg.models.loading import last_hidden, last_logits, load_model, with_exact_head
from matcg.models.prompts import begins_itself, boundary, continued, single_tokens

_KEPT = 4 * 2**30  # bytes of processed pictures and texts kept for the next weights, as in vLLM


class TransformersEngine(Engine):
    """A model and its processor."""

    def __init__(
        self,
        weights: Path | str,
        backbone: Backbone,
        settings: Mapping[str, Any],
        pictures: int = 1,
        rank: int = 0,
    ) -> None:
        """Read the weights; pictures and adapters need no room that is set aside."""
        del pictures, rank
        super().__init__(weights, backbone, settings)
        logging.disable_progress_bar()
        self._device = torch.device(device_kind(bool(backbone.resources.gpu)))
        self._batch = settings.get("max_num_seqs") or PROMPTS
        self.made_with = {"max_num_seqs": self._batch, "head_dtype": "float32"}
        self._model: Any = None
        self._compiler: xgrammar.GrammarCompiler | None = None
        self._kept: OrderedDict[object, dict[str, Tensor]] = OrderedDict()
        self._load(weights)
        check_processor(self._processor, backbone)
        self.tokens = single_tokens(self._processor.tokenizer, backbone, of_one_token())

    def close(self) -> None:
        """Drop the model."""
        self._model = None
        self._kept.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _load(self, weights: Path | str) -> None:
        self._model = None  # two at once may not fit
        model, self._processor = load_model(str(weights), self.backbone)
        self._model = with_exact_head(model).to(self._device).eval()
        text = self._model.config.get_text_config()
        self._context = int(text.max_position_embeddings)

    def _answer(self, way: str, asks: Sequence[Ask], adapter: Path | None) -> list[Reply]:
        ways = {"token": self._by_token, "texts": self._by_texts, "text": self._by_text}
        read = ways[way]
        replies: list[Reply] = []
        with torch.inference_mode(), self._adapted(adapter) as model:
            for start in range(0, len(asks), self._batch):
                replies += read(model, asks[start : start + self._batch])
        return replies

    @contextmanager
    def _adapted(self, adapter: Path | None) -> Iterator[Any]:
        """Yield the model, with an adapter while the body runs."""
        if adapter is None:
            yield self._model
            return
        from peft import PeftModel  # two seconds, for LoRA only

        adapted = PeftModel.from_pretrained(self._model, adapter).eval()
        try:
            yield adapted
        finally:
            self._model = adapted.unload()

    def _by_token(self, model: Any, asks: Sequence[Ask]) -> list[Reply]:
        inputs = self._inputs(asks, [ask.marked for ask in asks])
        scores = last_logits(model, inputs).log_softmax(dim=-1)
        return [
            Reply(
                tuple(row[[self.tokens[text] for text in ask.wording.among]].tolist()),
                int(row.argmax()),
            )
            for ask, row in zip(asks, scores, strict=True)
        ]

    def _by_texts(self, model: Any, asks: Sequence[Ask]) -> list[Reply]:
        """Score each text as if it had been said."""
        pairs = [(ask, option) for ask in asks for option in ask.wording.among]
        means: list[float] = []
        for start in range(0, len(pairs), self._batch):
            means += self._means(model, pairs[start : start + self._batch])
        each = iter(means)
        return [Reply(tuple(next(each) for _ in ask.wording.among), -1) for ask in asks]

    def _means(self, model: Any, pairs: Sequence[tuple[Ask, str]]) -> list[float]:
        """Return the mean log-probability of each option's tokens, which end their prompts."""
        inputs = self._inputs(
            [ask for ask, _ in pairs], [continued(ask.marked, option) for ask, option in pairs]
        )
        tokens = [
            option_tokens(self._processor.tokenizer, self.backbone, ask, option)
            for ask, option in pairs
        ]
        hidden, head = last_hidden(model, inputs)
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        means = []
        for row, ((ask, option), ids) in enumerate(zip(pairs, tokens, strict=True)):
            first, end = lengths[row] - len(ids), lengths[row]
            if inputs["input_ids"][row, first:end].tolist() != ids:
                raise boundary(self.backbone, ask.sample_id, option)
            scores = head(hidden[row, first - 1 : end - 1]).float().log_softmax(dim=-1)
            means.append(float(scores[range(len(ids)), ids].mean()))
        return means

    def _by_text(self, model: Any, asks: Sequence[Ask]) -> list[Reply]:
        """Let the model speak, greedily; vLLM knows no penalty of repetitions unless told."""
        inputs = self._inputs(asks, [ask.marked for ask in asks], side="left")
        tokenizer = self._processor.tokenizer
        ends = self._ends()
        grammars = [self._grammar(ask) for ask in asks if ask.wording.pattern]
        rooms = (self._context - inputs["attention_mask"].sum(dim=1)).tolist()
        sizes = [min(ask.wording.length, room) for ask, room in zip(asks, rooms, strict=True)]
        new = model.generate(
            **inputs,
            max_new_tokens=max(sizes),
            do_sample=False,
            repetition_penalty=1.0,
            eos_token_id=ends,
            pad_token_id=tokenizer.pad_token_id,
            logits_processor=[LogitsProcessor(grammars)] if grammars else None,
        )[:, inputs["input_ids"].shape[1] :].tolist()
        return [
            reply_of(tokenizer, ask, row[:size], ends)
            for ask, row, size in zip(asks, new, sizes, strict=True)
        ]

    def _ends(self) -> list[int]:
        """Return the tokens that end a text: those that vLLM stops at."""
        own = self._model.generation_config.eos_token_id
        more = own if isinstance(own, list) else [own]
        ends = {self._processor.tokenizer.eos_token_id, *more}
        return sorted(end for end in ends if end is not None)

    def _grammar(self, ask: Ask) -> xgrammar.CompiledGrammar:
        """Return an answer's pattern over the tokeniser's vocabulary; compiled ones are kept."""
        tokenizer = self._processor.tokenizer
        if self._compiler is None:
            size = self._model.config.get_text_config().vocab_size
            tokens = xgrammar.TokenizerInfo.from_huggingface(
                tokenizer, vocab_size=size, stop_token_ids=self._ends()
            )
            self._compiler = xgrammar.GrammarCompiler(tokens)
        return self._compiler.compile_regex(pattern_of(tokenizer, self.backbone, ask))

    def _inputs(
        self, asks: Sequence[Ask], prompts: Sequence[str], side: str = "right"
    ) -> dict[str, Tensor]:
        """Return the processor's tensors, padded; those of the same requests were kept.

        Raises:
            DataError: a prompt exceeds the context.
        """
        key = (side, *prompts, *(each for ask in asks for each in ask.digests))
        if key not in self._kept:
            self._kept[key] = self._encoded(asks, prompts, side)
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(map(_size, self._kept.values())) > _KEPT:
            self._kept.popitem(last=False)
        return {name: value.to(self._device) for name, value in self._kept[key].items()}

    def _encoded(self, asks: Sequence[Ask], prompts: Sequence[str], side: str) -> dict[str, Tensor]:
        """Return what the processor makes of some requests."""
        tokenizer = self._processor.tokenizer
        texts = [plain(tokenizer, prompt) for prompt in prompts]
        reader = reader_of(self._processor, texts)
        reader.tokenizer.padding_side = side
        encoded = reader(
            text=texts,
            images=[list(ask.pictures) for ask in asks],
            padding=True,
            return_tensors="pt",
            add_special_tokens=not begins_itself(tokenizer, self.backbone),
        )
        for ask, mask in zip(asks, encoded["attention_mask"], strict=True):
            if int(mask.sum()) >= self._context:
                raise too_long(ask.sample_id, int(mask.sum()), self._context)
        return dict(encoded.items())


def _size(encoded: dict[str, Tensor]) -> int:
    """Return the bytes of some tensors."""
    return sum(value.nbytes for value in encoded.values())


ENGINE = TransformersEngine
