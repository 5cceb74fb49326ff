"""Where progress is shown: one line redrawn in a terminal, a line now and then in a log file."""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_DRAWINGS = 1.0
ERASE = "\r\x1b[2K"


class Screen:
    """A stream with a status below what is printed. Safe to use from several threads."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.live = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._status: Callable[[], str] | None = None
        self._changed = False
        self._shown_at = float("-inf")
        self._ticker: threading.Thread | None = None

    def follow(self, status: Callable[[], str]) -> None:
        """Show what `status` returns until `unfollow`."""
        self._status = status
        if self._ticker is None:
            self._ticker = threading.Thread(target=self._tick, daemon=True)
            self._ticker.start()

    def unfollow(self) -> None:
        """Show the status no more."""
        with self._lock:
            self._status = None
            if self.live:
                self._write(ERASE)

    def print(self, text: str) -> None:
        """Print lines above the status."""
        with self._lock:
            self._write(f"{ERASE if self.live else ''}{text}\n")
            if self.live:
                self._draw()

    def refresh(self) -> None:
        """Show that the status has changed, in a log file at most every ten seconds."""
        with self._lock:
            self._changed = True
            self._show()

    def close(self) -> None:
        """Remove the status and stop."""
        self.unfollow()
        self._stop.set()

    def _show(self) -> None:
        if self.live:
            self._draw()
        elif self._changed and self._status and self._is_time():
            self._shown_at = time.monotonic()
            self._changed = False
            self._write(self._status() + "\n")

    def _is_time(self) -> bool:
        return time.monotonic() - self._shown_at >= SECONDS_BETWEEN_LINES

    def _draw(self) -> None:
        if self._status is None:
            return
        width = os.get_terminal_size(self.stream.fileno()).columns - 1
        # A pseudo-terminal without a size says 0 columns.
        text = self._status()
        self._write(ERASE + (text if width <= 0 else text[:width]))

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()

    def _tick(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_DRAWINGS):
            with self._lock:
                self._show()
