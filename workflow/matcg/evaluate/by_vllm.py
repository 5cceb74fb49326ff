"""Answers through vLLM.

Weights are swapped into the running engine: a start costs a minute at 7 billion parameters, a swap
a fraction of a second. What the processor makes of a picture does not depend on weights and is
kept over swaps.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, get_args

from matcg.config import Backbone, Protocol
from matcg.errors import DataError
from matcg.evaluate.classes import check_class
from matcg.evaluate.engine import Ask, Engine, Reply, boundary, option_tokens, too_long
from matcg.prompts import begins_itself, continued, letter_tokens
from matcg.samples import LETTERS

# Read when vllm is imported. In one process scheduling is deterministic and the start faster; one
# token an answer never earns back a compilation.
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # At level WARNING each picture adds a line on thread binding: a log of thousands of lines.
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "TORCHDYNAMO_DISABLE": "1",
}


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
        """Start vLLM; the arguments are those of `matcg.evaluate.engine.start`."""
        super().__init__(weights, backbone)
        os.environ.update(ENVIRONMENT)
        if not backbone.resources.gpu:
            os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"
            os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        from vllm import LLM, SamplingParams  # reads the environment set above

        check_class(weights, backbone)
        self._params = SamplingParams
        self._adapters: dict[Path, int] = {}
        options = {name: settings[name] for name in settings if settings[name] is not None}
        options.pop("runs", None)
        if "kv_cache_mb" in options:
            options["kv_cache_memory_bytes"] = options.pop("kv_cache_mb") * 2**20
        if rank:
            options |= {"enable_lora": True, "max_lora_rank": allowed_rank(rank)}
        self._llm = LLM(
            model=str(weights),
            revision=backbone.revision,
            trust_remote_code=backbone.trust_remote_code,
            dtype=backbone.dtype,
            seed=0,
            limit_mm_per_prompt={"image": pictures},
            disable_log_stats=True,
            **options,
        )
        self._tokenizer = self._llm.get_tokenizer()
        self.letters = letter_tokens(self._tokenizer, backbone, len(LETTERS))

    def close(self) -> None:
        """Shut the engine down, so that another one finds its memory free."""
        self._llm.llm_engine.engine_core.shutdown()

    def _load(self, weights: Path) -> None:
        self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(weights)})
        self._llm.reset_prefix_cache()
        # Without this the next picture seen before ends in "Encoder cache miss".
        self._llm.llm_engine.engine_core.reset_encoder_cache()

    def _answer(self, asks: Sequence[Ask], protocol: Protocol, adapter: Path | None) -> list[Reply]:
        if protocol.scoring == "option-text":
            return self._by_option(asks, adapter)
        if protocol.scoring == "generate":
            said = self._params(max_tokens=protocol.max_tokens, temperature=0)
            outputs = self._run(asks, [ask.prompt for ask in asks], [said] * len(asks), adapter)
            return [_text(output.outputs[0]) for output in outputs]
        letters = [self.letters[: len(ask.options)] for ask in asks]
        params = [
            self._params(max_tokens=1, temperature=0, logprob_token_ids=ids) for ids in letters
        ]
        outputs = self._run(asks, [ask.prompt for ask in asks], params, adapter)
        return [
            _scored(output.outputs[0], ids) for output, ids in zip(outputs, letters, strict=True)
        ]

    def _by_option(self, asks: Sequence[Ask], adapter: Path | None) -> list[Reply]:
        """Score the text of each option as if it had been said: one request an option."""
        pairs = [(ask, option) for ask in asks for option in ask.options]
        prompts = [continued(ask.prompt, option) for ask, option in pairs]
        params = [self._params(max_tokens=1, temperature=0, prompt_logprobs=0) for _ in pairs]
        outputs = self._run([ask for ask, _ in pairs], prompts, params, adapter)
        means = iter(
            self._mean(ask, option, output)
            for (ask, option), output in zip(pairs, outputs, strict=True)
        )
        return [Reply(tuple(next(means) for _ in ask.options), -1) for ask in asks]

    def _mean(self, ask: Ask, option: str, output: Any) -> float:
        """Return the mean log-probability of an option's tokens, which end the prompt."""
        ids = option_tokens(self._tokenizer, self.backbone, ask, option)
        if output.prompt_token_ids[-len(ids) :] != ids:
            raise boundary(self.backbone, ask, option)
        last = output.prompt_logprobs[-len(ids) :]
        return float(mean(row[i].logprob for row, i in zip(last, ids, strict=True)))

    def _run(
        self, asks: Sequence[Ask], prompts: Sequence[str], params: Any, adapter: Path | None
    ) -> list[Any]:
        """Return vLLM's outputs; name the sample whose prompt it refuses."""
        requests = [
            {"prompt": prompt, "multi_modal_data": {"image": list(ask.pictures)}}
            for ask, prompt in zip(asks, prompts, strict=True)
        ]
        lora = self._request(adapter)
        try:
            return list(self._generate(requests, params, lora))
        except ValueError as error:
            if "maximum model length" not in str(error):
                raise
            self._name_longest(asks, requests, params)
            raise

    def _generate(self, requests: Any, params: Any, lora: Any = None) -> Any:
        """Let vLLM answer; a prompt that begins of its own accord does not begin twice."""
        special = {"add_special_tokens": not begins_itself(self._tokenizer, self.backbone)}
        return self._llm.generate(
            requests,
            params,
            use_tqdm=False,
            lora_request=lora,
            tokenization_kwargs=special,
        )

    def _name_longest(self, asks: Sequence[Ask], requests: Sequence[Any], params: Any) -> None:
        """Raise DataError about the first request that vLLM refuses, long ones first."""
        for place in sorted(range(len(asks)), key=lambda i: -len(requests[i]["prompt"])):
            try:
                self._generate(requests[place], params[place])
            except ValueError:
                context = self._llm.model_config.max_model_len
                raise too_long(asks[place].sample_id, None, context) from None

    def _request(self, adapter: Path | None) -> Any:
        """Return vLLM's name for an adapter, with a number of its own."""
        if adapter is None:
            return None
        from vllm.lora.request import LoRARequest

        number = self._adapters.setdefault(adapter, len(self._adapters) + 1)
        return LoRARequest(str(adapter), number, str(adapter))


def allowed_rank(rank: int) -> int:
    """Return the smallest rank that vLLM makes room for and that holds `rank`.

    Raises:
        DataError: there is none.
    """
    from vllm.config.lora import MaxLoRARanks

    for size in sorted(get_args(MaxLoRARanks)):
        if size >= rank:
            return int(size)
    raise DataError(f"rank {rank} is beyond what vLLM takes as an adapter; merge it, or lower it")


def _scored(output: Any, letters: Sequence[int]) -> Reply:
    """Return the reply in one request's output."""
    scores = output.logprobs[0]
    return Reply(tuple(scores[i].logprob for i in letters), int(output.token_ids[0]))


def _text(output: Any) -> Reply:
    """Return the reply in one request's output, as text."""
    return Reply((), int(output.token_ids[0]), output.text.strip())
