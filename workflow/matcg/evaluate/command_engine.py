"""Answers by a command of the backbone's own: questions in a file, answers out of another.

What it answers is text. A line of questions.jsonl has `id`, `messages` and `images` (paths from the
file's folder), one of answers.jsonl `id` and `text`, in any order.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from matcg.errors import ConfigError, DataError
from matcg.evaluate.engine import Engine
from matcg.evaluate.requests import Ask
from matcg.forms import Reply
from matcg.models.commands import run_command
from matcg.models.messages import question_row, write_rows


class CommandEngine(Engine):
    """Weights that only the command can read."""

    def ask(self, asks: Sequence[Ask], adapter: Path | None = None) -> list[Reply]:
        """Return a reply to each request, all of one call of the command.

        Raises:
            ConfigError: one is not asked for text, or the command cannot be started.
            DataError: answers are missing, of other questions, or not of their form; says where.
            MatcgError: the command failed.
        """
        return self._answer("text", asks, adapter)

    def close(self) -> None:
        """Do nothing: the command has ended."""

    def _load(self, weights: Path) -> None:
        """Do nothing: the command loads what `weights` names."""

    def _answer(self, way: str, asks: Sequence[Ask], adapter: Path | None) -> list[Reply]:
        del way, adapter
        if odd := {ask.wording.way for ask in asks} - {"text"}:
            raise ConfigError(
                f"{self.backbone.where}: commands.answer: gives text, and is asked for the"
                f" probability of each {odd.pop()}; use a protocol with `scoring: generate`"
            )
        with TemporaryDirectory() as folder:
            questions, answers = (Path(folder) / f"{n}.jsonl" for n in ("questions", "answers"))
            names = [f"{number}:{ask.sample_id}" for number, ask in enumerate(asks)]
            write_rows(
                questions,
                (
                    {"id": name, **question_row(name, ask.prompt, ask.pictures, questions.parent)}
                    for name, ask in zip(names, asks, strict=True)
                ),
            )
            places = {"questions": str(questions), "out": str(answers)}
            run_command(self.backbone, "answer", {"weights": self.weights, **places})
            texts = read_answers(answers, names)
        return [Reply((), 0, texts[name]) for name in names]


def read_answers(file: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the text of each answer by the `id` of its question.

    Raises:
        DataError: the file is missing; a line is no answer, of no question, or of one that has an
            answer; a question has none.
    """
    if not file.is_file():
        raise DataError(f"{file.name}: the command has not written it; it must write to {{out}}")
    known, found = set(names), dict[str, str]()
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        where = f"{file.name}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: is no JSON ({error})") from None
        match row:
            case {"id": str(name), "text": str(text)}:
                pass
            case _:
                raise DataError(f'{where}: is not {{"id": text, "text": text}}, but {line[:80]}')
        if name not in known:
            raise DataError(f"{where}: id '{name}' is none of questions.jsonl")
        if name in found:
            raise DataError(f"{where}: id '{name}' is answered a second time")
        found[name] = text.strip()
    if missing := [name for name in names if name not in found]:
        raise DataError(
            f"{file.name}: {len(missing)} of {len(names)} answers are missing, the first that of id"
            f" '{missing[0]}'"
        )
    return found


ENGINE = CommandEngine
