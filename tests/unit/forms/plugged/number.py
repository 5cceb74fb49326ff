"""A form of answer that only tests have: the sample's label is a whole number, said in digits."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from matcg.forms import KEYS, Form, How, Pairs, Shown, View, Wording
from matcg.samples import Sample


class Number(Form):
    """A whole number, generated."""

    columns = pa.schema([*KEYS, ("said", pa.string()), ("near", pa.float64())])
    main = "near"
    answer = pa.field("number", pa.int64())

    def question(self, sample: Sample, view: View) -> str:
        del view
        return f"{sample.question} Say a number."

    def truth(self, sample: Sample) -> int:
        return int(sample.label)

    def dealt(self, sample: Sample, other: Sample, seed: int) -> int:
        del sample, seed
        return int(other.label)

    def told(self, sample: Sample, answer: Any, view: View) -> str:
        del sample, view
        return str(answer)

    def wordings(self, sample: Sample, how: How, view: View) -> list[Wording]:
        return [Wording(self.question(sample, view), "text", ("0", "10"), length=how.max_tokens)]

    def example(self, sample: Sample, how: How, view: View) -> tuple[str, str]:
        del how
        return self.question(sample, view), sample.label

    def read(
        self, sample: Sample, pairs: Pairs, tokens: Mapping[str, int], view: View
    ) -> dict[str, Any]:
        del sample, tokens, view
        return {"said": pairs[0][1].text}

    def score(self, sample: Sample, answered: Mapping[str, Any]) -> dict[str, Any]:
        return {"near": 1 / (1 + abs(int(answered["said"]) - int(sample.label)))}

    def show(self, sample: Sample) -> Shown:
        return Shown(("is",), (sample.label,), 0)


FORM = Number()
