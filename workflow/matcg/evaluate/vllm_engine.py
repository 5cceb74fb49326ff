"""Answers through vLLM.

Weights are swapped into the running engine: a start costs a minute at 7 billion parameters, a swap
a fraction of a second. What the processor makes of a picture does not depend on weights and is
kept over swaps.
"""

import gc
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from matcg.config.backbone import Backbone
from matcg.evaluate.engine import Engine, option_tokens, pattern_of, reply_of, too_long
from matcg.evaluate.requests import Ask
from matcg.evaluate.vllm_start import (
    allowed_rank,
    cache_bytes,
    check_class,
    refuse_slices,
    set_environment,
)
from matcg.forms import Reply, of_one_token
from matcg.models.asked_text import encode, is_signed
from matcg.models.device import device_kind
from matcg.models.prompts import begins_itself, boundary, single_tokens

# A request's place, and the tokens of an answer said so far.
_Step = tuple[int, tuple[int, ...]]


class VllmEngine(Engine):
    """A running vLLM engine."""

    def __init__(
        self,
        weights: Path | str,
        backbone: Backbone,
        settings: Mapping[str, Any],
        pictures: int = 1,
        rank: int = 0,
    ) -> None:
        """Start vLLM; the arguments are those of `start.start`."""
        super().__init__(weights, backbone, settings)
        # vLLM for CPUs would answer there, unasked.
        if device_kind(bool(backbone.resources.gpu)) == "cuda":
            refuse_slices()
        set_environment(backbone, settings)
        from transformers import AutoProcessor
        from vllm import LLM, SamplingParams  # reads the environment set above

        from matcg.models.checks import check_processor

        config = check_class(weights, backbone)
        where = {"revision": backbone.revision, "trust_remote_code": backbone.trust_remote_code}
        processor = AutoProcessor.from_pretrained(str(weights), **where)
        check_processor(processor, backbone)
        self._params = SamplingParams
        self._adapters: dict[Path, int] = {}
        options = {"enforce_eager": True} | {k: v for k, v in settings.items() if v is not None}
        for name in ("runs", "model_runner", "batch_invariant"):  # others read these
            options.pop(name, None)
        longest = config.get_text_config().max_position_embeddings
        if "max_model_len" in options:
            options["max_model_len"] = longest = min(options["max_model_len"], longest)
        if "kv_cache_mb" in options:
            options["kv_cache_memory_bytes"] = options.pop("kv_cache_mb") * 2**20
        elif not backbone.resources.gpu:
            options["kv_cache_memory_bytes"] = cache_bytes(config, backbone.dtype, longest)
        if backbone.dtype != "float32":
            # In bfloat16 logits near 16 come in steps of 0.125, and letters tie. Some classes make
            # their text model of its own configuration.
            exact = {"head_dtype": "float32"}
            options["hf_overrides"] = {**exact, "text_config": exact}
        if rank:
            options |= {"enable_lora": True, "max_lora_rank": allowed_rank(rank)}
        self._llm = LLM(
            model=str(weights),
            **where,
            dtype=backbone.dtype,
            seed=0,
            # Memory is else set aside for a video as well, where a class knows them.
            limit_mm_per_prompt={"image": pictures, "video": 0},
            disable_log_stats=True,
            # What the transformers engine has too; by itself vLLM may take another library.
            structured_outputs_config={"backend": "xgrammar"},
            **options,
        )
        self.made_with = {**settings, **_in_force(self._llm)}
        # Not vLLM's, which is several in one, and no copy of which could be taught anything.
        self._tokenizer = processor.tokenizer
        # A prompt that begins of its own accord does not begin twice.
        self._begin = {"add_special_tokens": not begins_itself(self._tokenizer, backbone)}
        self.tokens = single_tokens(self._tokenizer, backbone, of_one_token())

    @classmethod
    def prepare(cls, backbone: Backbone, settings: Mapping[str, Any]) -> None:
        """Import vLLM, which takes seconds and no device."""
        set_environment(backbone, settings)
        from vllm import LLM  # noqa: F401  (imported by that name alone)

        if not backbone.resources.gpu:
            import vllm.v1.worker.cpu_worker  # noqa: F401  (what a start imports else)

    def close(self) -> None:
        """Shut vLLM down, so that another engine finds its memory free.

        This ends every vLLM engine of the process.
        """
        import torch

        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _load(self, weights: Path) -> None:
        folder = str(weights)
        if not weights.is_dir():
            from huggingface_hub import snapshot_download

            # On a swap vLLM forgets which revision of a name on the hub was asked for.
            folder = snapshot_download(folder, revision=self.backbone.revision)
        self._llm.collective_rpc("reload_weights", kwargs={"weights_path": folder})
        self.forget()

    def forget(self) -> None:
        """Empty the caches of attention keys and of pictures that went through the tower."""
        self._llm.reset_prefix_cache()
        # Without this the next picture seen before ends in "Encoder cache miss".
        self._llm.llm_engine.engine_core.reset_encoder_cache()

    def _answer(self, way: str, asks: Sequence[Ask], adapter: Path | None) -> list[Reply]:
        ways = {"token": self._by_token, "texts": self._by_texts, "text": self._by_text}
        return ways[way](asks, adapter)

    def _prompts(self, asks: Sequence[Ask]) -> list[str | list[int]]:
        """Return prompts as text, or as ids where vLLM would read a special token off the data."""
        tokenizer = self._tokenizer
        return [
            encode(tokenizer, ask.marked, **self._begin)
            if is_signed(tokenizer, ask.marked)
            else ask.prompt
            for ask in asks
        ]

    def _by_token(self, asks: Sequence[Ask], adapter: Path | None) -> list[Reply]:
        among = [[self.tokens[text] for text in ask.wording.among] for ask in asks]
        params = [self._params(max_tokens=1, temperature=0, logprob_token_ids=ids) for ids in among]
        outputs = self._run(asks, self._prompts(asks), params, adapter)
        return [_scored(output.outputs[0], ids) for output, ids in zip(outputs, among, strict=True)]

    def _by_text(self, asks: Sequence[Ask], adapter: Path | None) -> list[Reply]:
        params = [self._spoken(ask) for ask in asks]
        outputs = self._run(asks, self._prompts(asks), params, adapter)
        return [
            reply_of(self._tokenizer, ask, output.outputs[0].token_ids, each.all_stop_token_ids)
            for ask, each, output in zip(asks, params, outputs, strict=True)
        ]

    def _spoken(self, ask: Ask) -> Any:
        """Return how text is generated: greedily, and of its form where it has one."""
        from vllm.sampling_params import StructuredOutputsParams

        form = None
        if ask.wording.pattern:
            form = StructuredOutputsParams(regex=pattern_of(self._tokenizer, self.backbone, ask))
        return self._params(
            max_tokens=ask.wording.length,
            temperature=0,
            detokenize=False,
            structured_outputs=form,
        )

    def _by_texts(self, asks: Sequence[Ask], adapter: Path | None) -> list[Reply]:
        """Score each text as if it had been said: one request a token.

        vLLM's log-probabilities of a prompt would take fewer, but they fail where adapters are
        enabled, make logits of the whole prompt, and read no kept prefix.
        """
        tokens = [
            [option_tokens(self._tokenizer, self.backbone, ask, text) for text in ask.wording.among]
            for ask in asks
        ]
        steps = next_tokens(tokens)
        begun = self._prompts(asks)
        prompts: list[str | list[int]] = [
            [*encode(self._tokenizer, asks[place].marked, **self._begin), *said]
            if said
            else begun[place]
            for place, said in steps
        ]
        outputs = self._run(
            [asks[place] for place, _ in steps],
            prompts,
            [
                self._params(max_tokens=1, temperature=0, logprob_token_ids=ids)
                for ids in steps.values()
            ],
            adapter,
        )
        found = dict(zip(steps, outputs, strict=True))
        for (place, said), output in found.items():
            if output.prompt_token_ids != [*found[place, ()].prompt_token_ids, *said]:
                raise boundary(self.backbone, asks[place].sample_id, asks[place].wording.among[0])
        return [
            Reply(tuple(_mean(found, place, ids) for ids in options), -1)
            for place, options in enumerate(tokens)
        ]

    def _run(
        self,
        asks: Sequence[Ask],
        prompts: Sequence[str | list[int]],
        params: Any,
        adapter: Path | None,
    ) -> list[Any]:
        """Return vLLM's outputs; name the sample whose prompt it refuses."""
        requests = [
            {
                "prompt" if isinstance(prompt, str) else "prompt_token_ids": prompt,
                "multi_modal_data": {"image": list(ask.pictures)},
                # vLLM's own name of a picture holds the weights' path: a swap would lose it.
                "multi_modal_uuids": {"image": list(ask.digests)},
            }
            for ask, prompt in zip(asks, prompts, strict=True)
        ]
        from vllm.exceptions import VLLMValidationError

        lora = self._request(adapter)
        try:
            return list(self._generate(requests, params, lora))
        except VLLMValidationError as error:
            # The first where text alone is too long, the second where pictures make it so.
            if not re.search("maximum (context|model) length", str(error)):
                raise
            self._name_longest(asks, requests, params)
            raise

    def _generate(self, requests: Any, params: Any, lora: Any = None) -> Any:
        return self._llm.generate(
            requests,
            params,
            use_tqdm=False,
            lora_request=lora,
            tokenization_kwargs=self._begin,
        )

    def _name_longest(self, asks: Sequence[Ask], requests: Sequence[Any], params: Any) -> None:
        """Raise DataError about the first request that vLLM refuses, long ones first."""
        from vllm.exceptions import VLLMValidationError

        for place in sorted(range(len(asks)), key=lambda i: -len(asks[i].prompt)):
            try:
                self._generate(requests[place], params[place])
            except VLLMValidationError:
                context = self._llm.model_config.max_model_len
                raise too_long(asks[place].sample_id, None, context) from None

    def _request(self, adapter: Path | None) -> Any:
        """Return vLLM's name for an adapter, with a number of its own."""
        if adapter is None:
            return None
        from vllm.lora.request import LoRARequest

        number = self._adapters.setdefault(adapter, len(self._adapters) + 1)
        return LoRARequest(str(adapter), number, str(adapter))


def _in_force(llm: Any) -> dict[str, Any]:
    """Return the settings that round answers as vLLM has them, those that a card decides too."""
    config = llm.llm_engine.vllm_config
    return {
        "model_runner": "v2" if config.use_v2_model_runner else "v1",
        "max_num_seqs": config.scheduler_config.max_num_seqs,
        "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
        "head_dtype": llm.apply_model(_head_type)[0],
    }


def _head_type(model: Any) -> str:
    """Return the type of numbers that a model's logits are made in."""
    heads = {getattr(part, "head_dtype", None) for part in model.modules()} - {None}
    return " ".join(sorted(str(each).removeprefix("torch.") for each in heads))


def next_tokens(tokens: Sequence[Sequence[list[int]]]) -> dict[_Step, list[int]]:
    """Return what is to be scored after which beginning of an answer, each once.

    `tokens` are those of each option of each request.
    """
    steps: dict[_Step, list[int]] = {}
    for place, options in enumerate(tokens):
        for ids in options:
            for n, token in enumerate(ids):
                after = steps.setdefault((place, tuple(ids[:n])), [])
                if token not in after:
                    after.append(token)
    return steps


def _mean(found: Mapping[_Step, Any], place: int, ids: list[int]) -> float:
    """Return the mean log-probability of an option's tokens."""
    rows = [found[place, tuple(ids[:n])].outputs[0].logprobs[0] for n in range(len(ids))]
    return float(mean(row[token].logprob for row, token in zip(rows, ids, strict=True)))


def _scored(output: Any, letters: Sequence[int]) -> Reply:
    """Return the reply in one request's output."""
    scores = output.logprobs[0]
    return Reply(tuple(scores[i].logprob for i in letters), int(output.token_ids[0]))


ENGINE = VllmEngine
