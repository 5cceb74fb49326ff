"""Which answers of a subset count as one label."""

from matcg.forms.choice import normal
from matcg.words import tidy


class LabelNames:
    """The labels of a subset in the order in which they are met.

    `given` is the user's map of answers to labels; what it does not name counts as itself, plain.
    """

    def __init__(self, given: dict[str, str], labels: list[str]) -> None:
        self.given, self.labels = given, labels
        self._plain = {normal(answer): label for answer, label in reversed(given.items())}
        self._known: dict[str, int] = {}

    def index(self, answer: str) -> int:
        """Return the index of the label that an answer counts as."""
        text, plain = tidy(answer), normal(answer)
        # An answer as it is written first, then any way to write it.
        label = self.given.get(text) or self._plain.get(plain) or plain
        known = self._known.setdefault(normal(label), len(self._known))
        if known == len(self.labels):
            self.labels.append(label)
        return known
