"""Test questions that contradict each other: one picture and question, two right answers."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations

from matcg import forms
from matcg.samples import Sample
from matcg.words import one_form, tidy


@dataclass
class Contradictions:
    """Looks for them in samples that are on their way elsewhere."""

    _asked: dict[tuple[bytes, str], list[Sample]] = field(default_factory=lambda: defaultdict(list))

    def passing(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Yield the samples, which have their pictures."""
        for sample in samples:
            shown = hashlib.sha256(sample.image).digest()
            asked = one_form(tidy(sample.question.casefold()))
            self._asked[shown, asked].append(replace(sample, image=b""))
            yield sample

    def found(self) -> list[list[str]]:
        """Return the sample ids of each pair that contradict each other."""
        return [
            [one.sample_id, other.sample_id]
            for alike in self._asked.values()
            for one, other in combinations(alike, 2)
            if forms.of(one).contradicts(one, other)
        ]
