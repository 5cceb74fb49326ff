"""Files of strange hosts, brought over HTTP: resumed, retried, checked, no token ever shown.

The hub's own client (`fetch.py`) resumes by itself; other hosts have none that does, waits when it
is told to, and refuses a login page in place of a file.
"""

import base64
import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from matcg.data.archives import is_page
from matcg.data.fetch import CHUNK, NONSENSE, TIMEOUT
from matcg.errors import DataError, disk_errors

ATTEMPTS = 4  # in a row that bring nothing; waits 1, 2, 4 seconds between them
LONGEST = 600  # seconds that a host may ask to wait
_AGAIN = (408, 425, 429, 500, 502, 503, 504)

Headers = Mapping[str, str]
_T = TypeVar("_T")


class HostError(DataError):
    """Why a host gives no file, without the words of the host, which may repeat a token."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


class _AgainError(Exception):
    """A transfer that another attempt may end; `wait` is how long the host asks to wait."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Remote:
    """A file of a host: size and digest (`md5:...`, `sha256:...`) where the host tells them."""

    name: str
    url: str
    size: int | None = None
    digest: str = ""


@dataclass(frozen=True)
class Brought:
    """A file that is there now: its size in bytes, its SHA-256, and whether it was before."""

    size: int
    sha256: str
    before: bool = False


@dataclass
class Web:
    """A client of all hosts; `mirrors` are addresses to ask in place of those that begin alike."""

    mirrors: Mapping[str, str] = field(default_factory=dict)
    sleep: Callable[[float], object] = time.sleep

    def __post_init__(self) -> None:
        # To another host the client does not hand on what it was given as `Authorization`.
        self.client = httpx2.Client(follow_redirects=True, timeout=TIMEOUT)

    def json(self, url: str, headers: Headers = {}) -> Any:  # noqa: B006, never changed
        """Return what an API answers.

        Raises:
            HostError: it refuses, cannot be reached, or answers what is no JSON.
        """
        return self._patiently(lambda: self._asked(url, headers), lambda: 0)

    def _asked(self, url: str, headers: Headers) -> Any:
        with _connected():
            answer = self.client.get(self._at(url), headers=dict(headers))
        _check(answer)
        try:
            return answer.json()
        except ValueError:
            raise HostError(
                "answers with no JSON; its API has changed, or a proxy is between"
            ) from None

    def size(self, url: str) -> int | None:
        """Return the size of a file where its host tells it."""
        try:
            with _connected():
                answer = self.client.head(self._at(url), headers={"Accept-Encoding": "identity"})
        except _AgainError:
            return None
        return _whole(answer) if answer.status_code == 200 else None

    def bring(self, remote: Remote, folder: Path, headers: Headers = {}) -> Brought:  # noqa: B006
        """Bring a file into a folder; what an earlier call brought of it is gone on with.

        One that is there stays, if it is what the host lists.

        Raises:
            HostError: the host refuses, sends another file than it lists, or a web page.
            ResourceError: the disk is full.
        """
        place = folder / remote.name
        if place.exists():
            found = _digested(place, remote.digest)
            if not found or remote.size not in (None, found.size):
                raise HostError(f"{place} is there, and is not what the host lists; move it away")
            return Brought(found.size, found.sha256, before=True)
        part = place.with_name(f"{place.name}.part")

        def attempt() -> Brought:
            given = self._append(remote, part, headers)
            found = _digested(part, given or remote.digest)
            if not found:
                part.unlink()
                raise _AgainError("sends another file than it lists (the digest differs)")
            part.replace(place)
            return found

        with disk_errors(folder, "Make room and call again: what is there is kept."):
            return self._patiently(attempt, lambda: size_of(part))

    def _append(self, remote: Remote, part: Path, headers: Headers) -> str:
        """Add to `part` what it lacks of a file; return the digest that the answer tells."""
        here = size_of(part)
        # Compressed, a range of bytes would not be one of the file.
        asked = {**headers, "Accept-Encoding": "identity"}
        if here:
            asked["Range"] = f"bytes={here}-"
        with _connected(), self.client.stream("GET", self._at(remote.url), headers=asked) as answer:
            whole = _whole(answer)
            if answer.status_code == 416:
                if whole == here:
                    return ""
                part.unlink(missing_ok=True)
                raise _AgainError("has a file of another size now")
            _check(answer)
            resumed = answer.status_code == 206
            if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {here}-"):
                raise HostError("answers with other bytes than it was asked for")
            # As they come: of whole chunks the last would be lost where a transfer breaks.
            chunks = answer.iter_bytes()
            first = next(chunks, b"")
            if not resumed:
                _refuse_page(answer, first, remote.name)
            if None not in (whole, remote.size) and whole != remote.size:
                raise HostError(f"sends {whole} bytes and lists {remote.size}")
            with part.open("ab" if resumed else "wb") as stream:
                stream.write(first)
                stream.writelines(chunks)
            digest = _google_digest(answer)
        if whole is not None and size_of(part) < whole:
            raise _AgainError("ends before the file does")
        return digest

    def _patiently(self, attempt: Callable[[], _T], done: Callable[[], int]) -> _T:
        """Return what an attempt does; others follow, as long as one in a row brings something."""
        failed = 0
        while True:
            before = done()
            try:
                return attempt()
            except _AgainError as error:
                failed = 1 if done() > before else failed + 1
                if failed == ATTEMPTS:
                    raise HostError(f"{error}; tried {ATTEMPTS} times, call again later") from None
                wait = 2.0 ** (failed - 1) if error.wait is None else error.wait
            if wait > LONGEST:
                raise HostError(f"asks to wait for {wait:.0f} s (429); call again then")
            self.sleep(wait)

    def _at(self, url: str) -> str:
        for base, other in self.mirrors.items():
            if url.startswith(base):
                return other + url.removeprefix(base)
        return url


@contextmanager
def _connected() -> Iterator[None]:
    """Turn what breaks into another attempt, without its address, which may hold a password."""
    try:
        yield
    except httpx2.TransportError as error:
        raise _AgainError(f"cannot be reached, or breaks off ({type(error).__name__})") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise HostError(f"has an address that cannot be asked ({type(error).__name__})") from None


def _check(answer: httpx2.Response) -> None:
    """Raise unless a host has what it was asked for."""
    status = answer.status_code
    if status in (200, 206):
        return
    if status in _AGAIN or answer.headers.get("X-RateLimit-Remaining") == "0":
        raise _AgainError(f"does not answer now ({status})", _asked_to_wait(answer))
    reasons = {
        401: "asks who you are, or does not take the token (401)",
        403: "refuses (403): its rules are not accepted, or the token may not read it",
        404: "has nothing there (404): moved, renamed or withdrawn",
    }
    raise HostError(reasons.get(status, f"answers with status {status}"), status)


def _asked_to_wait(answer: httpx2.Response) -> float | None:
    """Return the seconds of `Retry-After`, which is a number or a date (RFC 9110, 10.2.3).

    GitHub and Zenodo may tell the second of the epoch at which one may ask again in its place:
    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api.
    """
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    reset = answer.headers.get("X-RateLimit-Reset", "")
    if not text and reset.isdecimal():
        return max(0.0, int(reset) - time.time())
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except NONSENSE:
        return None


def _whole(answer: httpx2.Response) -> int | None:
    """Return the size of the whole file, of which an answer may be a part, where it is told."""
    if found := re.fullmatch(
        r"bytes (?:\d+-\d+|\*)/(\d+)", answer.headers.get("Content-Range", "")
    ):
        return int(found[1])
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and answer.status_code == 200 else None


def _google_digest(answer: httpx2.Response) -> str:
    """Return the MD5 that Google's storage, to which Kaggle leads, tells of a file, or nothing.

    Source: https://cloud.google.com/storage/docs/xml-api/reference-headers (x-goog-hash).
    """
    found = re.search(r"\bmd5=([A-Za-z0-9+/]{22}==)", answer.headers.get("X-Goog-Hash", ""))
    return f"md5:{base64.b64decode(found[1]).hex()}" if found else ""


def _refuse_page(answer: httpx2.Response, first: bytes, name: str) -> None:
    html = answer.headers.get("Content-Type", "").startswith("text/html")
    if (html or is_page(first)) and not name.endswith((".html", ".htm")):
        raise HostError("sends a web page in place of the file: it wants a login or a decision")


def size_of(path: Path) -> int:
    """Return the size of a file in bytes, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def _digested(path: Path, digest: str) -> Brought | None:
    """Return what a file is, nothing where its digest is another than is told."""
    kind, _, told = digest.partition(":")
    sha256 = hashlib.sha256()
    other = hashlib.new(kind, usedforsecurity=False) if told else sha256
    with path.open("rb") as stream:
        while data := stream.read(CHUNK):
            sha256.update(data)
            if other is not sha256:
                other.update(data)
    if told and other.hexdigest() != told.lower():
        return None
    return Brought(path.stat().st_size, sha256.hexdigest())
