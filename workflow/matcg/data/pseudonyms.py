"""Names for patients, studies and files of hospitals: keyed hashes that results may show.

The key is made once and stays in the data folder: with it a name can be made again from what it
stands for, without it nobody can try identifiers until one fits. Another key gives other names, so
other samples, and results that are made anew.
"""

import hmac
import os
import secrets
from functools import cached_property
from pathlib import Path

from matcg.errors import DataError

KEY = ".matcg-key"
_DIGITS = 64  # hexadecimal, of a key
_LENGTH = 20  # and of a name: among a million the chance that two are one is below 1e-12


class Pseudonyms:
    """The names of one data folder; its key is made when the first is asked for."""

    def __init__(self, root: Path) -> None:
        self.path = root / KEY

    def of(self, kind: str, text: str) -> str:
        """Return the name of something: HMAC-SHA256 of what kind it is and what it is called.

        Raises:
            DataError: the key can be neither read nor made.
        """
        words = f"{kind}\0{text}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, words, "sha256").hexdigest()[:_LENGTH]

    @cached_property
    def _key(self) -> bytes:
        try:
            if not self.path.exists():
                self._make()
            text = self.path.read_text(encoding="ascii").strip()
            if len(text) != _DIGITS:
                raise ValueError(f"it has {len(text)} digits")
            return bytes.fromhex(text)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no key"
            raise DataError(
                f"{self.path}: the key that hides patients' names cannot be used ({why}); let it be"
                f" written there once, or put {_DIGITS} hexadecimal digits into it"
            ) from None

    def _make(self) -> None:
        """Write a key that no other process has written yet, whole or not at all."""
        mine = self.path.with_name(f"{KEY}.{secrets.token_hex(8)}")
        handle = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(_DIGITS // 2) + "\n")
            os.link(mine, self.path)
        except FileExistsError:
            pass
        finally:
            mine.unlink()
