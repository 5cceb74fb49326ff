"""Boxes: findings of a picture, each with its label, or none, written in the backbone's own words.

They are compared in pixels of the original picture, wherever the backbone saw them.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa

from matcg import coordinates
from matcg.coordinates import NONE
from matcg.forms import KEYS, Form, How, Pairs, Shown, View, Wording
from matcg.geometry import Square, scaled
from matcg.overlap import box_areas, matched
from matcg.samples import FINDINGS, Finding, Sample, read_findings

Findings = tuple[Finding, ...]


class Boxes(Form):
    """All findings of a picture as boxes."""

    columns = pa.schema(
        [
            *KEYS,
            ("true", FINDINGS),
            ("given", FINDINGS),
            ("ill_formed", pa.int16()),
            ("inter", pa.float64()),
            ("union", pa.float64()),
            *((name, pa.int16()) for name in ("tp", "fp", "fn")),
            ("iou", pa.float64()),
            ("text", pa.string()),
        ]
    )
    main = "iou"
    measure = "mean IoU"
    answer = pa.field("boxes", FINDINGS)
    balanced = False
    places = True

    def question(self, sample: Sample, view: View) -> str:
        """Return the sample's question, the labels there are, and how to answer."""
        request = self.request(view)
        labels = ", ".join(sample.options)
        return f"{sample.question}\nLabels: {labels}. {request}, or {NONE}."

    def truth(self, sample: Sample) -> Findings:
        """Return the findings, without masks, of which nothing is said."""
        return tuple(replace(each, mask="") for each in sample.findings)

    def dealt(self, sample: Sample, other: Sample, seed: int) -> Findings:
        """Return the other's findings at the same places, as shares of the picture's sides."""
        del seed
        across, down = (own / theirs for own, theirs in zip(sample.size, other.size, strict=True))
        return tuple(
            Finding(
                each.label,
                tuple(v * by for v, by in zip(each.box, (across, down) * 2, strict=True)),
                scaled(each.mask, other.size, sample.size) if each.mask else "",
            )
            for each in self.truth(other)
        )

    def packed(self, answer: Any) -> Any:
        """Return findings as rows of the columns `FINDINGS`."""
        return [asdict(each) for each in answer]

    def unpacked(self, held: Any) -> Any:
        """Return the findings of such rows."""
        return read_findings(held)

    def told(self, sample: Sample, answer: Any, view: View) -> str:
        """Return what the backbone sees of findings, in its own words."""
        square = square_of(sample, view)
        seen = ((each.label, square.box_seen(each.box)) for each in answer)
        boxes = [(label, box) for label, box in seen if box]
        return coordinates.find(view.coordinates).write(boxes, view.edge)

    def wordings(self, sample: Sample, how: How, view: View) -> list[Wording]:
        """Return the question, with a pattern for the answer unless it is generated freely.

        An answer is as long as one of the most boxes can be, or as the protocol says if that is
        longer. `none` and the right answer are what engines can be compared by.
        """
        among = dict.fromkeys((NONE, self.told(sample, self.truth(sample), view)))
        free = how.scoring == "generate"
        length, pattern = self.bounds(sample, how, view)
        return [
            Wording(
                self.question(sample, view),
                "text",
                tuple(among),
                length=max(length, how.max_tokens if free else 0),
                pattern="" if free else pattern,
            )
        ]

    def kind(self, sample: Sample) -> str:
        """Return whether anything is to be found."""
        return "finding" if sample.findings else NONE

    def constants(self, sample: Sample) -> tuple[str, ...]:
        """Return `none` where nothing is to be found: places differ from picture to picture."""
        return () if sample.findings else (NONE,)

    def example(self, sample: Sample, how: How, view: View) -> tuple[str, str]:
        """Return the question with the right answer."""
        del how
        return self.question(sample, view), self.told(sample, self.truth(sample), view)

    def read(
        self, sample: Sample, pairs: Pairs, tokens: Mapping[str, int], view: View
    ) -> dict[str, Any]:
        """Return true and given findings in the picture's pixels, and how much was ill-formed.

        A box beside the picture, in what pads it, is ill-formed.
        """
        del tokens
        ((_, reply),) = pairs
        given, bad = self.meant(reply.text, sample, view)
        return {
            "true": self.packed(self.truth(sample)),
            "given": self.packed(given),
            "ill_formed": bad,
            "text": reply.text,
        }

    def meant(self, text: str, sample: Sample, view: View) -> tuple[list[Finding], int]:
        """Return the findings that a text means, in the picture, and how much is ill-formed."""
        square = square_of(sample, view)
        words = coordinates.find(view.coordinates)
        found, bad = words.read(text, sample.options, view.edge)
        placed = [(label, square.box_meant(box)) for label, box in found]
        given = [Finding(label, box) for label, box in placed if box]
        return given, bad + len(found) - len(given)

    def score(self, sample: Sample, answered: Mapping[str, Any]) -> dict[str, Any]:
        """Return areas of intersection and union of all boxes, their ratio, and matched boxes."""
        true, given = self.truth(sample), read_findings(answered["given"])
        inter, union = box_areas([each.box for each in true], [each.box for each in given])
        counts = dict(zip(("tp", "fp", "fn"), matched(true, given), strict=True))
        return {"inter": inter, "union": union, "iou": share(inter, union), **counts}

    def show(self, sample: Sample) -> Shown:
        """Return the labels, and none, of which the first finding's is right."""
        offered = (*sample.options, NONE)
        right = offered.index(sample.findings[0].label if sample.findings else NONE)
        return Shown(tuple(str(n) for n, _ in enumerate(offered, start=1)), offered, right)

    def request(self, view: View) -> str:
        """Return how the answer is asked for."""
        return coordinates.find(view.coordinates).request

    def bounds(self, sample: Sample, how: How, view: View) -> tuple[int, str]:
        """Return how long an answer can be, in tokens at most, and the pattern of all answers."""
        words = coordinates.find(view.coordinates)
        asked = (sample.options, how.max_boxes, view.edge)
        return words.longest(*asked), words.pattern(*asked)


FORM = Boxes()


def square_of(sample: Sample, view: View) -> Square:
    """Return the square in which a backbone sees a sample's picture."""
    return Square(sample.size, view.edge, view.geometry)


def share(inter: float, union: float) -> float:
    """Return intersection over union, 1 where there is nothing in either."""
    return inter / union if union else 1.0
