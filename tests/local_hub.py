"""A small Hugging Face hub on this machine: what the hub library, and so an audit, talks to in tests.

Speaks the parts of the hub's interface that downloads use: repository information, files at a branch
or commit with their headers, redirection of large files, byte ranges, gated and private
repositories, and connections that break off in the middle.
"""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_localtokenwithaccess"
"""Opens gated and private repositories."""


@dataclass
class Repository:
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Files by commit."""
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    private: bool = False
    forbidden: bool = False
    """Files are refused as to a token that may not read gated repositories."""

    def commit_of(self, revision: str) -> str | None:
        commit = self.refs.get(revision, revision)
        return commit if commit in self.commits else None


class LocalHub:
    """Repositories in memory, served on a port of this machine."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[str] = []
        """Method and path of every request served."""
        self.broken: dict[str, int] = {}
        """Paths (endings) whose bodies break off after so many bytes, each time they are asked for."""
        self.down = False
        """Answer every request with 503."""
        self.scripted: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        """Answers in place of the hub's own, by a pattern of method and path."""
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def publish(
        self,
        name: str,
        files: Mapping[str, bytes | str] | Path,
        *,
        kind: str = "model",
        branch: str = "main",
        gated: bool = False,
        private: bool = False,
    ) -> str:
        """A commit with these files (or those of a folder) on a branch; its hash."""
        if isinstance(files, Path):
            found = [path for path in sorted(files.rglob("*")) if path.is_file()]
            files = {path.relative_to(files).as_posix(): path.read_bytes() for path in found}
        content = {k: v.encode() if isinstance(v, str) else v for k, v in files.items()}
        digest = hashlib.sha1(name.encode() + kind.encode())
        for path, body in sorted(content.items()):
            digest.update(path.encode() + body)
        commit = digest.hexdigest()
        repository = self.repositories.setdefault((kind, name), Repository())
        repository.commits[commit] = content
        repository.refs[branch] = commit
        repository.gated, repository.private = gated, private
        return commit

    def clear(self) -> None:
        self.repositories.clear()
        self.requests.clear()
        self.broken.clear()
        self.scripted.clear()
        self.down = False

    @contextmanager
    def breaking(self, path: str, after: int) -> Iterator[None]:
        """Inside the block the file's downloads break off after so many bytes."""
        self.broken[path] = after
        try:
            yield
        finally:
            del self.broken[path]


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._serve(body=False)

    def do_GET(self) -> None:
        self._serve(body=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: what was asked for is in `requests`."""

    def _serve(self, *, body: bool) -> None:
        split = urlsplit(self.path)
        path = unquote(split.path).strip("/")
        self.hub.requests.append(f"{self.command} {path}")
        if self.hub.down:
            return self._error(503, "", "down for maintenance")
        for pattern, script in self.hub.scripted.items():
            if re.search(pattern, f"{self.command} {path}"):
                self.close_connection = True
                return script(self)
        parts = path.split("/")
        if parts[0] == "api":
            return self._api(parts[1:], parse_qs(split.query))
        if parts[0] == "cdn":
            return self._content(parts[1], "/".join(parts[2:]), body=body)
        kind = "model"
        if parts[0] == "datasets":
            kind, parts = "dataset", parts[1:]
        if len(parts) < 5 or parts[2] != "resolve":
            return self._error(404, "", f"no such page: {path}")
        return self._resolve(kind, "/".join(parts[:2]), parts[3:], body=body)

    def _api(self, parts: list[str], query: dict[str, list[str]]) -> None:
        kind = {"models": "model", "datasets": "dataset"}.get(parts[0])
        name = "/".join(parts[1:3])
        repository = self.hub.repositories.get((kind or "", name))
        if repository is None or (repository.private and not self._has_access()):
            return self._error(401, "RepoNotFound", "Repository Not Found")
        if parts[3:4] == ["auth-check"]:
            if repository.gated and not self._has_access():
                return self._gated(name)
            if repository.forbidden:
                return self._error(403, "", "Forbidden")
            return self._json({})
        revision = "/".join(parts[4:]) if parts[3:4] == ["revision"] else "main"
        commit = repository.commit_of(revision)
        if commit is None:
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        siblings = [
            {"rfilename": path, "size": len(data)} if "blobs" in query else {"rfilename": path}
            for path, data in sorted(repository.commits[commit].items())
        ]
        return self._json(
            {
                "id": name,
                "modelId": name,
                "sha": commit,
                "private": repository.private,
                "gated": "manual" if repository.gated else False,
                "siblings": siblings,
                "tags": [],
            }
        )

    def _resolve(self, kind: str, name: str, rest: list[str], *, body: bool) -> None:
        repository = self.hub.repositories.get((kind, name))
        if repository is None or (repository.private and not self._has_access()):
            return self._error(401, "RepoNotFound", "Repository Not Found")
        # A branch's name may hold slashes (refs/pr/1), so the longest that is one.
        for n in range(len(rest) - 1, 0, -1):
            commit = repository.commit_of("/".join(rest[:n]))
            if commit is not None:
                break
        else:
            return self._error(404, "RevisionNotFound", "Invalid rev id")
        path = "/".join(rest[n:])
        commit_header = {"X-Repo-Commit": commit}
        if repository.gated and not self._has_access():
            return self._gated(name)
        if repository.forbidden:
            return self._error(403, "", "Forbidden", commit_header)
        data = repository.commits[commit].get(path)
        if data is None:
            return self._error(404, "EntryNotFound", "Entry not found", commit_header)
        if path.endswith((".safetensors", ".npz", ".pt", ".pth", ".parquet")):
            # Large files lie elsewhere, and are known by their own hash.
            sha = hashlib.sha256(data).hexdigest()
            return self._head(
                302,
                {
                    **commit_header,
                    "X-Linked-Etag": f'"{sha}"',
                    "X-Linked-Size": str(len(data)),
                    "ETag": f'"{sha}"',
                    # Another host's name, as with the hub's own: tokens do not follow there.
                    "Location": f"{self.hub.url.replace('127.0.0.1', 'localhost')}/cdn/{commit}/{path}",
                    "Content-Length": "0",
                },
            )
        return self._data(data, path, commit_header, body=body)

    def _content(self, commit: str, path: str, *, body: bool) -> None:
        for repository in self.hub.repositories.values():
            data = repository.commits.get(commit, {}).get(path)
            if data is not None:
                return self._data(data, path, {}, body=body)
        return self._error(404, "EntryNotFound", "Entry not found")

    def _data(self, data: bytes, path: str, headers: dict[str, str], *, body: bool) -> None:
        start, end, status = 0, len(data), 200
        asked = self.headers.get("Range")
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end, status = int(first), int(last) + 1 if last else len(data), 206
            headers = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
        etag = hashlib.sha1(data).hexdigest()
        part = data[start:end]
        self._head(status, {"ETag": f'"{etag}"', **headers, "Content-Length": str(len(part))})
        if not body:
            return
        for ending, n_bytes in self.hub.broken.items():
            if path.endswith(ending):
                self.wfile.write(part[:n_bytes])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()
                return
        self.wfile.write(part)

    def _has_access(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _gated(self, name: str) -> None:
        message = f"Access to model {name} is restricted."
        self._error(403 if self.headers.get("Authorization") else 401, "GatedRepo", message)

    def _json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self._head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        if self.command == "GET":
            self.wfile.write(body)

    def _error(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        named = {"X-Error-Code": code, "X-Error-Message": message} if code else {}
        self._head(status, {**(headers or {}), **named, "Content-Length": "0"})

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
