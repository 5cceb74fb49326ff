"""Errors that tell a user what was wrong, where, and what to do about it."""

import errno
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)


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


@contextmanager
def disk_errors(folder: Path, advice: str) -> Iterator[None]:
    """Say that the disk is full, and the advice, where the body runs out of space.

    Raises:
        ResourceError: no space, or quota, is left on the disk of `folder`.
    """
    try:
        yield
    except Exception as error:
        # safetensors gives the system's number in its text only.
        number = getattr(error, "errno", None)
        if number not in FULL and not any(f"(os error {n})" in str(error) for n in FULL):
            raise
        free = -1
        with suppress(OSError):
            free = shutil.disk_usage(folder).free >> 20
        raise ResourceError(f"{folder}: the disk is full ({free} MB free). {advice}") from None
