"""A small server that stands for hosts of data sets: files, ranges, their APIs, and mischief."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from served import listening

PAGE = b"<!DOCTYPE html><html><body>Sign in to go on</body></html>"


@dataclass
class Answer:
    """What is sent for a path: `cut` bytes of it at most, then the connection breaks."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    ranges: bool = True
    sized: bool = True


@dataclass
class FakeHosts:
    """`answers` by path with query; of a list the first is sent once, and its last ever after."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    endpoint: str = ""

    def put(self, path: str, *answers: Answer | bytes) -> None:
        """Set what is sent for a path."""
        self.answers[path] = [
            each if isinstance(each, Answer) else Answer(each) for each in answers
        ]

    def asked(self, path: str) -> list[dict[str, str]]:
        """Return the headers of the requests for a path so far."""
        return [headers for given, headers in self.seen if given == path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hosts: FakeHosts

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_HEAD(self) -> None:
        found = self.hosts.answers.get(self.path)
        self._send(found[0] if found else Answer(status=404), b"")

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hosts.seen.append((self.path, headers))
        found = self.hosts.answers.get(self.path) or [Answer(b"not here", 404)]
        answer = found.pop(0) if len(found) > 1 else found[0]
        asked = headers.get("range") if answer.ranges and answer.status == 200 else None
        if asked is None:
            self._send(answer, answer.body)
            return
        start, whole = int(asked.removeprefix("bytes=").removesuffix("-")), len(answer.body)
        if start >= whole:
            told = {"Content-Range": f"bytes */{whole}"}
            self._send(Answer(status=416, headers=told), b"")
            return
        told = {"Content-Range": f"bytes {start}-{whole - 1}/{whole}"}
        self._send(
            Answer(status=206, headers=answer.headers | told, cut=answer.cut), answer.body[start:]
        )

    def _send(self, answer: Answer, body: bytes) -> None:
        self.send_response(answer.status)
        length = {"Content-Length": str(len(answer.body or body))} if answer.sized else {}
        for name, value in (length | answer.headers).items():
            self.send_header(name, value)
        if not answer.sized:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if answer.cut is None:
            self.wfile.write(body)
            return
        self.wfile.write(body[: answer.cut])
        self.wfile.flush()
        self.close_connection = True


@contextmanager
def serving(hosts: FakeHosts) -> Iterator[FakeHosts]:
    """Serve until the end."""
    with listening(_Handler, 1, hosts=hosts) as (hosts.endpoint,):
        yield hosts
