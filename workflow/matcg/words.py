"""Numbers in words: shares in percent, and nouns with how many there are."""


def fixed(value: float, decimals: int) -> str:
    """Return a number with so many decimals, and never a negative zero."""
    # Adding zero turns -0.0 into 0.0, which the sign of a rounding error must not decide.
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def in_percent(share: float) -> str:
    """Return a share as percent, with one decimal."""
    return fixed(100 * share, 1)


def counted(n: int, noun: str) -> str:
    """Return a number of things, with the noun in the right form."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
