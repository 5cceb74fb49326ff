"""Errors that tell a user what was wrong, where, and what to do about it."""

from collections.abc import Iterable
from difflib import get_close_matches


class MatcgError(Exception):
    """Anything a user can mend; its text is one line, shown without a traceback."""


class ConfigError(MatcgError):
    """A config, catalog, rule, backbone or experiment file says something it must not."""


class DataError(MatcgError):
    """An image, table or sample is missing, damaged or contradicts itself."""


class ResourceError(MatcgError):
    """Memory or disk did not suffice; the same call with more of it goes on."""


class StoppedError(MatcgError):
    """Nothing is wrong: a job was told to stop, or stood back for another; call again later."""


class BadRowError(Exception):
    """Why one row of a table cannot be used; becomes the reason of a quarantined row."""


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return the end of an error sentence that leads from a wrong word to a valid one."""
    names = sorted(valid)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Valid: {', '.join(names)}." if names else ""
