"""Servers on this machine that stand for those of others, until a test ends."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, unless the client left."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def listening(
    kind: type[BaseHTTPRequestHandler], ports: int, **known: object
) -> Iterator[list[str]]:
    """Serve on so many ports, which are as many hosts to a client, and yield their addresses.

    Requests are handled by `kind`, with `known` as attributes.
    """
    handler = type(kind.__name__, (kind,), known)
    servers = [_Server(("127.0.0.1", 0), handler) for _ in range(ports)]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True).start()
    try:
        yield [f"http://127.0.0.1:{server.server_port}" for server in servers]
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
