"""A small Hugging Face hub on this machine: commits, listings, ranges, mischief, models."""

import hashlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from served import listening

REPOSITORY = "FreedomIntelligence/Med-MAT"
NEW = "f03e9a778c7e3b6a9fb82cd0f543507d1d964c65"  # files in folders; what the catalog pins
OLD = "f11957a" + "2" * 33  # files at the root
COMMIT = {"authors": [], "date": "2024-12-01T00:00:00.000Z", "title": "x", "message": ""}
PAGE = 2  # entries; small, so that every listing has several pages


@dataclass
class Seen:
    """A request as it came in."""

    path: str
    headers: dict[str, str]


@dataclass
class FakeHub:
    """What the hub holds and how it misbehaves; `seen` are the requests so far."""

    trees: dict[str, dict[str, bytes]]
    commits: list[str]
    large: set[str] = field(default_factory=set)  # listed by SHA-256, sent by another host
    status: int = 200  # of every answer
    answer: bytes | None = None  # body of every listing
    listed: list[dict[str, Any]] = field(default_factory=list)  # more entries of every tree
    cuts: list[tuple[int, bool]] = field(default_factory=list)  # bytes sent, by reset or by close
    stall: int = 0  # bytes sent before a file stops coming, until `resumed`
    resumed: threading.Event = field(default_factory=threading.Event)
    ranges: bool = True  # are understood
    wrong: int = 0  # of the next files have other content than listed
    models: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)  # name, commit
    seen: list[Seen] = field(default_factory=list)
    endpoint: str = ""
    store: str = ""  # address of the other host

    def downloads(self) -> list[Seen]:
        """Return the requests for files."""
        return [seen for seen in self.seen if "/resolve/" in seen.path or "/store/" in seen.path]

    def entries(self, tree: dict[str, bytes]) -> list[dict[str, Any]]:
        """Return the listing of a commit's files as the hub writes it."""
        found: list[dict[str, Any]] = [
            {"type": "directory", "oid": "0" * 40, "size": 0, "path": "x"}
        ]
        for path, data in tree.items():
            oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            entry = {"type": "file", "oid": oid, "size": len(data), "path": path}
            if path in self.large:
                sha256 = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 130}
            found.append(entry)
        return found + self.listed


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        hub, url = self.hub, urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        hub.seen.append(Seen(self.path, headers))
        api, files = f"/api/datasets/{REPOSITORY}", f"/datasets/{REPOSITORY}/resolve/"
        if hub.status != 200:
            # Some servers repeat what they were sent.
            said = f"bad credentials: {headers.get('authorization')}"
            self._send(hub.status, json.dumps({"error": said}).encode(), {"X-Error-Message": said})
        elif url.path == f"{api}/commits/main":
            self._list([{"id": commit} | COMMIT for commit in hub.commits])
        elif (revision := url.path.removeprefix(f"{api}/tree/")) in hub.trees:
            self._list(hub.entries(hub.trees[revision]))
        elif url.path.startswith(files):
            self._file(*url.path.removeprefix(files).split("/", 1))
        elif found := [name for name in hub.models if f"/{name}/" in url.path]:
            self._model(url.path, found[0])
        elif url.path.startswith("/store/"):
            self._bytes(hub.trees[NEW][unquote(url.path.removeprefix("/store/"))])
        else:
            self._send(404, b'{"error": "not found"}', {"X-Error-Code": "RevisionNotFound"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def _model(self, path: str, name: str) -> None:
        """Answer for a model: the listing of a commit, in one page, or one of its files."""
        kind, revision, *rest = path.partition(f"/{name}/")[2].split("/", 2)
        tree = self.hub.models[name].get(revision)
        if tree is None:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif kind == "tree":
            self._send(200, json.dumps(self.hub.entries(tree)).encode(), {})
        else:
            data = tree[unquote(rest[0])]
            tag = hashlib.sha1(data).hexdigest()
            self._send(200, data, {"X-Repo-Commit": revision, "ETag": f'"{tag}"'})

    def _list(self, entries: list[dict[str, Any]]) -> None:
        url = urlsplit(self.path)
        start = int(parse_qs(url.query).get("cursor", ["0"])[0])
        # Like the page links that a mirror hands on.
        link = f'<https://huggingface.invalid{url.path}?cursor={start + PAGE}>; rel="next"'
        more = {"Link": link} if start + PAGE < len(entries) else {}
        page = json.dumps(entries[start : start + PAGE]).encode()
        self._send(200, page if self.hub.answer is None else self.hub.answer, more)

    def _file(self, revision: str, quoted: str) -> None:
        path = unquote(quoted)
        if path in self.hub.large:
            self._send(302, b"", {"Location": f"{self.hub.store}/store/{quoted}"})
        else:
            self._bytes(self.hub.trees[revision][path])

    def _bytes(self, data: bytes) -> None:
        asked = self.headers.get("Range") if self.hub.ranges else None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if asked else {}
        if self.hub.wrong:
            self.hub.wrong -= 1
            data = data[::-1]
        if self.hub.stall:
            self._send(200, data, headers, self.hub.stall)
            self.hub.resumed.wait(30)
            self.close_connection = True
            return
        if not self.hub.cuts:
            self._send(206 if asked else 200, data[start:], headers)
            return
        n_bytes, reset = self.hub.cuts.pop(0)
        self._send(206 if asked else 200, data[start:], headers, n_bytes)
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], n_bytes: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:n_bytes])


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve a hub on two hosts until the end."""
    with listening(_Handler, 2, hub=hub) as (hub.endpoint, hub.store):
        yield hub
