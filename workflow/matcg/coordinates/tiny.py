"""The tiny backbone's own: pixels as one token each, `lesion @04 @10 @21 @33 ; lesion @30 ...`.

White space stands where words are parted, and does not outlive its tokeniser.
"""

from matcg.coordinates import Coordinates


class Tiny(Coordinates):
    """Whole pixels of two digits, for squares below 100 pixels."""

    box = "LABEL @X1 @Y1 @X2 @Y2"
    between = " ; "
    request = "Answer with label and box of each"
    mask_request = "Answer row by row with labels and cells"
    digits = "02.0f"
    grid = 12
    cells = "02d"
    run, beside, below = "LABEL @COUNT", " ", " ; "

    def numbers(self, end: int) -> str:
        """Return the numbers from 0 to `end`, two digits each."""
        return f"(?:{'|'.join(f'{n:02}' for n in range(end + 1))})"

    def literal(self, text: str) -> str:
        """Return a regular expression of a text, with or without its blanks."""
        return super().literal(text).replace(" ", " ?")


FORMAT = Tiny()
