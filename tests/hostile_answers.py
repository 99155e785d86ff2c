"""What a hub, or a mirror of one, may answer instead of what was asked for: each by a name."""

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

Script = Callable[[BaseHTTPRequestHandler], None]

COMMIT = "0" * 39 + "1"
INFO = r"GET api/models/"
HEAD = r"HEAD .*resolve"
BODY = r"GET .*(resolve|cdn).*config"
HEADER = r"GET .*(resolve|cdn).*safetensors"

ASKED_FOR = "the commit asked for"
"""In a header: the commit of the request."""

_STOP = threading.Event()
PAUSE = 0.05
"""Seconds between two bytes of what is slow."""


def body(
    data: bytes,
    *,
    status: int = 200,
    length: int | None = None,
    head: bool = False,
    **headers: str,
) -> Script:
    """One answer with this body; `length` is what its header says of it."""

    def script(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        asked = re.search(r"[0-9a-f]{40}", handler.path)
        for name, value in headers.items():
            if value == ASKED_FOR and asked is not None:
                value = asked[0]
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data) if length is None else length))
        # It is closed after this answer: not said, the next question may be put to a closed door.
        handler.send_header("Connection", "close")
        handler.end_headers()
        if not head:
            handler.wfile.write(data)

    return script


def said(value: Any, **options: Any) -> Script:
    return body(json.dumps(value).encode(), Content_Type="application/json", **options)


def endless(chunk: bytes, *, pause: float = 0.0) -> Script:
    """A body without length that goes on as long as it is read, at most for a minute of pauses."""

    def script(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        _pour(handler, chunk, pause)

    return script


def raw(chunk: bytes, *, then: bytes = b"", pause: float = 0.0) -> Script:
    """Bytes in place of a status line, and what follows again and again."""

    def script(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(chunk)
        if then:
            _pour(handler, then, pause)

    return script


def in_parts(data: bytes, *, n_parts: int, pause: float) -> Script:
    """The whole of the data, with pauses."""

    def script(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        size = len(data) // n_parts
        for start in range(0, len(data), size):
            handler.wfile.write(data[start : start + size])
            handler.wfile.flush()
            _STOP.wait(pause)

    return script


def silent(handler: BaseHTTPRequestHandler) -> None:
    _STOP.wait(3)
    handler.close_connection = True


def _pour(handler: BaseHTTPRequestHandler, chunk: bytes, pause: float) -> None:
    try:
        for _ in range(1 << 30 if pause == 0 else 600):
            handler.wfile.write(chunk)
            handler.wfile.flush()
            if pause:
                _STOP.wait(pause)
    except OSError:
        pass  # whoever asked has gone


def info(**changed: Any) -> Script:
    return said({"sha": COMMIT, "siblings": [], **changed})


def file(name: Any, size: Any = 1) -> Script:
    return info(siblings=[{"rfilename": name, "size": size}])


def header(text: bytes, length: int | None = None) -> Script:
    """The beginning of a safetensors file, whatever range was asked for."""
    data = (len(text) if length is None else length).to_bytes(8, "little") + text

    def script(handler: BaseHTTPRequestHandler) -> None:
        first, _, last = handler.headers["Range"].removeprefix("bytes=").partition("-")
        n_asked = int(last) + 1 - int(first)
        body(data[int(first) :][:n_asked].ljust(n_asked, b" "), status=206)(handler)

    return script


def tensor(**changed: Any) -> Script:
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **changed}
    return header(json.dumps({"w": entry}).encode())


def nested(n_levels: int) -> bytes:
    return b"[" * n_levels + b"]" * n_levels


_BOMB = gzip.compress(b" " * (8 << 20))


def answers() -> Iterator[tuple[str, str, Script]]:
    """Name, pattern of the request, and what is answered to it."""
    for place, pattern in (("info", INFO), ("head", HEAD), ("body", BODY), ("header", HEADER)):
        yield f"{place}: silence", pattern, silent
        yield (
            f"{place}: headers byte by byte",
            pattern,
            raw(b"HTTP/1.1 200 OK\r\nX: ", then=b"x", pause=PAUSE),
        )
        yield (
            f"{place}: headers without end",
            pattern,
            raw(b"HTTP/1.1 200 OK\r\n", then=b"X: " + b"y" * 999 + b"\r\n"),
        )
        yield f"{place}: no HTTP", pattern, raw(b"\x00\xff\x00 what?\r\n\r\n")
        yield (
            f"{place}: HTML",
            pattern,
            body(b"<html><body>Sign in</body></html>", head=place == "head"),
        )
        yield f"{place}: an empty answer", pattern, body(b"")
        yield (
            f"{place}: an error in HTML",
            pattern,
            body(b"<h1>no</h1>", status=500, head=place == "head"),
        )
        yield f"{place}: wait for years", pattern, body(b"", status=429, Retry_After="999999999")
        yield f"{place}: a redirection to itself", pattern, body(b"", status=302, Location="?again")
        yield (
            f"{place}: a redirection to a file",
            pattern,
            body(b"", status=302, Location="file:///etc/passwd"),
        )
        yield (
            f"{place}: a redirection nowhere",
            pattern,
            body(b"", status=302, Location="http://[bad"),
        )
        yield (
            f"{place}: control characters in a refusal",
            pattern,
            body(b"", status=403, X_Error_Message="\x1b]52;c;x\x07\x1b[2J"),
        )
    for place, pattern in (("info", INFO), ("body", BODY), ("header", HEADER)):
        yield f"{place}: byte by byte", pattern, endless(b" ", pause=PAUSE)
        yield f"{place}: without end", pattern, endless(b" " * (1 << 16))
        yield f"{place}: cut off", pattern, body(b'{"sha": "', length=5000)
        yield f"{place}: packed a thousandfold", pattern, body(_BOMB, Content_Encoding="gzip")
        yield (
            f"{place}: packed by nobody knows what",
            pattern,
            body(b"x", Content_Encoding="\x1bmagic"),
        )
    yield from _listings()
    yield from _file_headers()
    yield from _tensor_headers()


def _listings() -> Iterator[tuple[str, str, Script]]:
    for name, value in {
        "null": None,
        "a list": [],
        "a number": 3,
        "a text": "sha",
        "nothing in it": {},
        "error with 200": {"error": "no"},
    }.items():
        yield f"info: {name}", INFO, said(value)
    for value in ("../../x", None, 5, "a" * 41, "A" * 40, COMMIT + "\n", ["x"], "main", ""):
        yield f"info: commit {value!r}", INFO, info(sha=value)
    for value in (None, {}, "x", [None], ["config.json"], [{}], [[]]):
        yield f"info: files {value!r}", INFO, info(siblings=value)
    for name in (
        "../x", "a/../../x", "/etc/passwd", "a\\b", "C:/x", "C:x", "a\0b", "a\x1b[2Jb", "a//b", "", ".",
        "a/", "\u202ecod.exe", "x" * 300, "a\nb", "\ud83d", None, 5, ["a"],
    ):  # fmt: skip
        yield f"info: file {name!r:.40}", INFO, file(name)
    for size in (-1, "10", 10**400, 1.5, True, [1], {}):
        yield f"info: size {size!r:.40}", INFO, file("config.json", size)
    many = [{"rfilename": f"{n}", "size": 1} for n in range(3000)]
    yield "info: more files than are read", INFO, info(siblings=many)
    yield "info: nested", INFO, body(nested(100_000))
    yield "info: a number of 5,000 digits", INFO, body(b'{"sha": ' + b"9" * 5000 + b"}")
    yield "info: not UTF-8", INFO, body(b'{"sha": "\xff\xfe"}')
    yield "info: a NaN", INFO, body(b'{"sha": NaN, "siblings": Infinity}')


def _file_headers() -> Iterator[tuple[str, str, Script]]:
    def headed(**headers: Any) -> Script:
        return body(b"", length=7, head=True, **headers)

    yield "head: another commit", HEAD, headed(ETag='"a"', X_Repo_Commit="f" * 40)
    yield "head: a commit that is a path", HEAD, headed(ETag='"a"', X_Repo_Commit="../../../../x")
    yield "head: no commit", HEAD, headed(ETag='"a"')
    yield "head: no tag", HEAD, headed(X_Repo_Commit=ASKED_FOR)
    for tag in ("../../../evil", "/tmp/evil", "..", "a\\b", "x" * 500, "../../refs/main"):
        yield f"head: tag {tag:.20}", HEAD, headed(ETag=f'"{tag}"', X_Repo_Commit=ASKED_FOR)
    for size in ("abc", "-5", "9" * 400):
        yield (
            f"head: size {size:.20}",
            HEAD,
            headed(ETag='"a"', X_Linked_Size=size, X_Repo_Commit=ASKED_FOR),
        )
    yield (
        "head: not there, by a path",
        HEAD,
        body(b"", status=404, X_Error_Code="EntryNotFound", X_Repo_Commit="../../../../x"),
    )


def _tensor_headers() -> Iterator[tuple[str, str, Script]]:
    for name, script in {
        "a length of 2^60": header(b"{}", length=1 << 60),
        "a length of 0": header(b"", length=0),
        "three bytes": body(b"abc", status=206),
        "no JSON": header(b"what? " * 4),
        "not UTF-8": header(b"\xff\xfe\xfd\xfc"),
        "null": header(b"null"),
        "a list": header(b"[1, 2]"),
        "nested": header(b'{"w": ' + nested(300) + b"}"),
        "a number of 5,000 digits": header(b'{"w": ' + b"9" * 5000 + b"}"),
        "a tensor that is null": header(b'{"w": null}'),
        "a shape of words": tensor(shape=["2", "2"]),
        "a shape below zero": tensor(shape=[-2, -2]),
        "a shape that is a number": tensor(shape=4),
        "a shape beyond the file": tensor(shape=[1 << 40, 1 << 40]),
        "a shape of no size": tensor(shape=[2, 3]),
        "no place in the file": tensor(data_offsets=None),
        "a place beyond the file": tensor(data_offsets=[0, 1 << 50]),
        "a place that ends before it begins": tensor(data_offsets=[16, 0]),
    }.items():
        yield f"header: {name}", HEADER, script
