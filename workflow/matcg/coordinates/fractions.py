"""LLaVA 1.5's: shares of the padded square's width and height, two decimals, in brackets.

Numbers from 0 to 1 with two decimals as [x1, y1, x2, y2]: issues 606 and 623 of haotian-liu/LLaVA,
by users who looked into its training data, to which the authors point in issue 333 (read
2026-11-30). They find Visual Genome's boxes relative to the padded square; whether RefCOCO's are is
disputed in issue 822, so that is unverified. Its answers name no label and no second box, and
none is never one: label and separator are ours.
"""

from matcg.coordinates import Coordinates


class Fractions(Coordinates):
    """Hundredths of the edge, written as shares."""

    box = "LABEL: [X1, Y1, X2, Y2]"
    between = "; "
    request = "Answer with label and box of each as LABEL: [x1, y1, x2, y2], in shares of 1"
    whole = 1
    unit = 0.01
    digits = ".2f"

    def numbers(self, end: int) -> str:
        """Return the hundredths from 0 to 1."""
        del end
        return r"(?:0\.[0-9][0-9]|1\.00)"


FORMAT = Fractions()
