"""What answers questions: the interface of engines, each a module `NAME_engine` beside this one.

An engine holds a backbone's weights, takes those of its fine-tuned copies in turn, and applies
adapters request by request.
"""

import traceback
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from itertools import chain, groupby, takewhile
from pathlib import Path
from typing import Any

from matcg.config.backbone import Backbone
from matcg.errors import DataError, MatcgError, ResourceError
from matcg.evaluate.requests import Ask
from matcg.forms import Reply
from matcg.literal import unmarked
from matcg.models.prompts import answer_or_error, space_before
from matcg.models.weights import check_adapter, check_whole

# So many questions are asked with and without an adapter, to see that it does something.
_PROBES = 8


class Engine(ABC):
    """A running engine: one backbone's architecture, the weights that were loaded last."""

    tokens: Mapping[str, int] = {}  # of answers that are one token each
    made_with: Mapping[str, Any]  # settings that answers may depend on by rounding

    def __init__(
        self,
        weights: Path | str,
        backbone: Backbone,
        settings: Mapping[str, Any],
        pictures: int = 1,
        rank: int = 0,
    ) -> None:
        """Note what is loaded; subclasses load it. The arguments are those of `start.start`."""
        del pictures, rank
        check_whole(weights, backbone)
        self.backbone = backbone
        self.weights = str(weights)
        self.made_with = dict(settings)
        self._proven: set[Path] = set()

    @classmethod
    def prepare(cls, backbone: Backbone, settings: Mapping[str, Any]) -> None:
        """Do what a start needs that takes no device, such as importing libraries."""
        del backbone, settings

    def load(self, weights: Path) -> None:
        """Swap other whole weights in and forget all that was computed with the old ones.

        Raises:
            DataError: they cannot be read, or are not of this backbone.
        """
        check_whole(weights, self.backbone)
        self._load(weights)
        self.weights = str(weights)

    def forget(self) -> None:  # noqa: B027  (some engines compute everything anew)
        """Drop what was computed of earlier prompts, so that the next ones are computed whole."""

    def ask(self, asks: Sequence[Ask], adapter: Path | None = None) -> list[Reply]:
        """Return a reply to each request, of the weights loaded and the adapter given.

        Raises:
            DataError: a prompt exceeds the context; the adapter does not fit or changes nothing.
            ResourceError: memory did not suffice.
            MatcgError: the engine died.
        """
        if adapter is not None and adapter not in self._proven:
            check_adapter(adapter, self.backbone)
            self._prove(asks[:_PROBES], adapter)
            self._proven.add(adapter)
        return self._tried(asks, adapter)

    @abstractmethod
    def close(self) -> None:
        """Give memory back; the engine is not used again."""

    @abstractmethod
    def _load(self, weights: Path) -> None:
        """Swap weights in that have been checked."""

    @abstractmethod
    def _answer(self, way: str, asks: Sequence[Ask], adapter: Path | None) -> list[Reply]:
        """Return a reply to each request; all are worded for one `way`."""

    def _prove(self, asks: Sequence[Ask], adapter: Path) -> None:
        """Raise DataError where an adapter leaves all log-probabilities as they were."""
        scored = [ask.scored() for ask in asks]
        plain, adapted = (self._tried(scored, each) for each in (None, adapter))
        if [reply.logprobs for reply in plain] == [reply.logprobs for reply in adapted]:
            raise DataError(
                f"{adapter}: this adapter changes no log-probability of {len(asks)} questions; it"
                " is empty, or this engine ignores its layers; train the run again, or merge it"
            )

    def _tried(self, asks: Sequence[Ask], adapter: Path | None) -> list[Reply]:
        """Answer, and say which weights were at hand where the engine dies."""
        from matcg.models.memory import out_of_memory

        try:
            # Structured and free text are apart, since a grammar would bind a whole batch.
            groups = groupby(asks, key=lambda ask: (ask.wording.way, bool(ask.wording.pattern)))
            parts = [self._answer(way, list(part), adapter) for (way, _), part in groups]
            return list(chain(*parts))
        except MatcgError:
            raise
        except Exception as error:
            traceback.print_exc()  # what follows is one line
            where = f"{adapter or self.weights}: while it answered {len(asks)} requests"
            if out_of_memory(error):
                raise ResourceError(
                    f"{where}, memory ended ({error}); set `max_num_seqs`, in the config's"
                    " `engine`, to fewer at once"
                ) from error
            raise MatcgError(
                f"{where}, the engine died ({type(error).__name__}: {error}); what other runs"
                " answered is kept, call again"
            ) from error


def pattern_of(tokenizer: Any, backbone: Backbone, ask: Ask) -> str:
    """Return the regular expression of an answer as it follows the prompt.

    Raises:
        ConfigError: see `answer_or_error`.
    """
    space = space_before(tokenizer, backbone, ask.sample_id, ask.wording.among[0])
    return f"{space}(?:{ask.wording.pattern})"


def reply_of(tokenizer: Any, ask: Ask, ids: Sequence[int], ends: Collection[int]) -> Reply:
    """Return generated tokens as a reply: the text before the first token of `ends`.

    Special tokens are left out, but for those that answers are made of, as around boxes.
    """
    texts = (*ask.wording.among, ask.wording.pattern.replace("\\", ""))
    odd = {
        number
        for number, token in tokenizer.added_tokens_decoder.items()
        if token.special and not any(token.content in text for text in texts)
    }
    kept = [each for each in takewhile(lambda each: each not in ends, ids) if each not in odd]
    return Reply((), ids[0], tokenizer.decode(kept, skip_special_tokens=False).strip())


def too_long(sample_id: str, length: int | None, context: int) -> DataError:
    """Return the error about a prompt that does not fit the context, in tokens."""
    size = f" of {length} tokens" if length else ""
    return DataError(
        f"sample {sample_id}: its prompt{size}, pictures included, exceeds the backbone's context"
        f" of {context} tokens; lower the protocol's `shots`, or shorten the question"
    )


def option_tokens(tokenizer: Any, backbone: Backbone, ask: Ask, option: str) -> list[int]:
    """Return an option's tokens as they follow the prompt.

    Raises:
        ConfigError: its first token would hold the prompt's end as well.
        DataError: the option has no token.
    """
    if not unmarked(option).strip():
        raise DataError(f"sample {ask.sample_id}: an option is empty, so its text has no score")
    return answer_or_error(tokenizer, backbone, ask.sample_id, option)
