"""A hub of model repositories on the loopback interface, for tests; request the fixture ``hub``."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

FIRST = "1" * 40
SECOND = "2" * 40


class Hub:
    """Repositories ``{id: {commit: {name: bytes}}}`` and the log of requests."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.heads: dict[str, str] = {}
        self.private: set[str] = set()
        self.gated: set[str] = set()
        self.log: list[tuple[str, str, str | None]] = []
        self.status: int | None = None
        self.corrupt: dict[str, bytes] = {}  # sent instead of the content, under the content's hash

    def add(self, name: str, files: dict[str, bytes], commit: str = FIRST) -> None:
        self.repositories.setdefault(name, {})[commit] = files
        self.heads[name] = commit

    def requests(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.log]


def _answer(handler: BaseHTTPRequestHandler, hub: Hub) -> None:
    hub.log.append((handler.command, handler.path, handler.headers.get("authorization")))

    def send(status: int, headers: dict[str, str], body: bytes = b"") -> None:
        handler.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(key, value)
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(body)

    if hub.status is not None:
        return send(hub.status, {})
    if handler.path.startswith("/api/models/"):
        return _list(handler.path.removeprefix("/api/models/").partition("?")[0], hub, send)
    name, found, rest = handler.path.lstrip("/").partition("/resolve/")
    if not found or name not in hub.repositories:
        return send(404, {"X-Error-Code": "RepoNotFound"})
    if name in hub.gated:
        return send(403, {"X-Error-Code": "GatedRepo"})
    if name in hub.private and handler.headers.get("authorization") != "Bearer secret":
        return send(401, {"X-Error-Code": "RepoNotFound"})
    revision, _, file = rest.partition("/")
    commit = hub.heads[name] if revision == "main" else revision
    if commit not in hub.repositories[name]:
        return send(404, {"X-Error-Code": "RevisionNotFound"})
    content = hub.repositories[name][commit].get(file)
    if content is None:
        return send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
    etag = hashlib.sha256(content).hexdigest()
    return send(200, {"X-Repo-Commit": commit, "ETag": f'"{etag}"'}, hub.corrupt.get(file, content))


def _list(path: str, hub: Hub, send: Callable[..., None]) -> None:
    """The files directly in a folder of a repository."""
    name, _, rest = path.partition("/tree/")
    commit, _, folder = rest.partition("/")
    files = hub.repositories.get(name, {}).get(commit, {})
    below = [file for file in files if file.rpartition("/")[0] == folder]
    if not below:
        return send(404, {"X-Error-Code": "EntryNotFound"})
    entries = [{"type": "file", "path": file, "size": len(files[file]), "oid": "0" * 40} for file in below]
    return send(200, {"Content-Type": "application/json"}, json.dumps(entries).encode())


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    served = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, served)

        def do_HEAD(self) -> None:
            _answer(self, served)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield served
    server.shutdown()
    thread.join()
    server.server_close()
