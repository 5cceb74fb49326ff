"""One vLLM engine that answers for many fine-tuned copies of a backbone, by letter.

Weights are swapped into the running engine: a start costs a minute at 7 billion parameters, a swap
a fraction of a second.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matcg.config import Backbone
from matcg.evaluate.classes import check_class
from matcg.prompts import begins_itself, letter_tokens, picture_of, prompt_of
from matcg.samples import LETTERS, Sample

# Read when vllm is imported. In one process scheduling is deterministic and the start faster; one
# token an answer never earns back a compilation.
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # At level WARNING each picture adds a line on thread binding: a log of thousands of lines.
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "TORCHDYNAMO_DISABLE": "1",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """Log-probabilities of a sample's letters and the token that the model would have said."""

    logprobs: tuple[float, ...]
    free: int


class Engine:
    """A running vLLM engine: one backbone's architecture, the weights that were loaded last."""

    def __init__(
        self, weights: Path | str, backbone: Backbone, settings: Mapping[str, Any]
    ) -> None:
        """Start vLLM on `weights`; `settings` are execution settings of `matcg.config.Engine`."""
        os.environ.update(ENVIRONMENT)
        if not backbone.resources.gpu:
            os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"
            os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        from vllm import LLM, SamplingParams  # reads the environment set above

        check_class(weights, backbone)
        self._params = SamplingParams
        self._backbone = backbone
        options = {name: settings[name] for name in settings if settings[name] is not None}
        if "kv_cache_mb" in options:
            options["kv_cache_memory_bytes"] = options.pop("kv_cache_mb") * 2**20
        self._llm = LLM(
            model=str(weights),
            revision=backbone.revision,
            trust_remote_code=backbone.trust_remote_code,
            dtype=backbone.dtype,
            seed=0,
            limit_mm_per_prompt={"image": 1},
            disable_log_stats=True,
            **options,
        )
        self.letters = letter_tokens(self._llm.get_tokenizer(), backbone, len(LETTERS))

    def load(self, weights: Path) -> None:
        """Swap other weights in and forget all that was computed with the old ones."""
        self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(weights)})
        self._llm.reset_prefix_cache()
        self._llm.reset_mm_cache()
        # Without this the next picture seen before ends in "Encoder cache miss".
        self._llm.llm_engine.engine_core.reset_encoder_cache()

    def ask(self, samples: Sequence[Sample]) -> list[Reply]:
        """Return a reply to each sample: raw log-probabilities of exactly its letters, one step."""
        prompts = [
            {
                "prompt": prompt_of(sample, self._backbone),
                "multi_modal_data": {"image": picture_of(sample, self._backbone)},
            }
            for sample in samples
        ]
        letters = [self.letters[: len(sample.options)] for sample in samples]
        params = [
            self._params(max_tokens=1, temperature=0, logprob_token_ids=ids) for ids in letters
        ]
        special = not begins_itself(self._llm.get_tokenizer(), self._backbone)
        outputs = self._llm.generate(
            prompts,
            params,
            use_tqdm=False,
            tokenization_kwargs={"add_special_tokens": special},
        )
        return [
            _reply(output.outputs[0], ids) for output, ids in zip(outputs, letters, strict=True)
        ]


def _reply(output: Any, letters: Sequence[int]) -> Reply:
    """Return the reply in one request's output."""
    scores = output.logprobs[0]
    return Reply(tuple(scores[i].logprob for i in letters), int(output.token_ids[0]))
