"""The hub library's HTTP session with limits of seconds and bytes, and checked header names.

The library limits at most the silence between two bytes, so a server that sends a byte every five
seconds, or without end, holds it forever. Every session here has a time limit for headers, a total one
for answers, and for files a minimum speed, which suits downloads of any length.
"""

import contextvars
import importlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sae_audit.errors import AuditError, InterruptedDownloadError
from sae_audit.untrusted import shown

T = TypeVar("T")

SILENCE_SECONDS = 10.0
"""Seconds between two bytes, and to connect."""
HEADER_SECONDS = 20.0
"""Seconds until an answer begins, including redirections."""
ANSWER_SECONDS = 40.0
"""Seconds for the whole of an answer other than a file."""
ANSWER_BYTES = 64 << 20
"""Bytes of an answer other than a file: a listing of 200,000 files takes about 40 MB."""
STALL_SECONDS = 30.0
STALL_BYTES = 1024
"""Bytes that must arrive in `STALL_SECONDS`, else the download has stalled."""
LONGEST_WAIT = 30
"""Seconds, the limit of a server's `Retry-After`."""
_SPARE_BYTES = 1 << 16

_watched: contextvars.ContextVar["Watch | None"] = contextvars.ContextVar("watched", default=None)
_once = threading.Lock()


class Watch:
    """Check of one file's download: its speed, and its size against the listing."""

    def __init__(self, path: str, *, commit: str, n_bytes: int) -> None:
        self.path = path
        self.commit = commit
        self.n_bytes = n_bytes
        self._since = time.monotonic()
        self._arrived = 0

    def arrived(self, n_bytes: int) -> None:
        """Count `n_bytes` more bytes.

        Raises:
            InterruptedDownloadError: Too few bytes arrived for too long.
        """
        self._arrived += n_bytes
        seconds = time.monotonic() - self._since
        if seconds < STALL_SECONDS:
            return
        if self._arrived < STALL_BYTES:
            raise InterruptedDownloadError(
                f"The download of {self.path} stalled: {self._arrived} bytes in {seconds:.0f} "
                "seconds."
            )
        self._since, self._arrived = time.monotonic(), 0


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Context in which answers are the bytes of this file instead of metadata."""
    token = _watched.set(watch)
    try:
        yield
    finally:
        _watched.reset(token)


def bounded_session() -> Any:
    """The hub library's session with limits; all of the library's own requests use it."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http, get_session

    with _once:
        # After a failed connection the library makes a new session, so the limits belong to the factory.
        # A factory that the user set (proxies, certificates) is wrapped.
        factory = _http._GLOBAL_CLIENT_FACTORY
        if not isinstance(factory, _Factory):
            set_client_factory(_Factory(factory))
    return get_session()


class _Factory:
    def __init__(self, theirs: Callable[[], Any]) -> None:
        self._theirs = theirs

    def __call__(self) -> Any:
        client = self._theirs()
        package = importlib.import_module(type(client).__module__.partition(".")[0])
        bounded = _bounded_stream_class(package.SyncByteStream)
        hooks = client.event_hooks
        hooks["response"] = [*hooks.get("response", []), lambda response: _bound(response, bounded)]
        client.event_hooks = hooks
        theirs = client.send

        def send(request: Any, **options: Any) -> Any:
            if request.method not in {"GET", "HEAD"}:
                return theirs(request, **options)  # uploads have no time limit
            return _sent(theirs, request, **options)

        client.send = send
        return client


def _sent(theirs: Callable[..., Any], request: Any, *, stream: bool = False, **options: Any) -> Any:
    watch = _watched.get()
    if watch is not None:
        watch.arrived(0)
    asked = request.extensions.get("timeout") or {}
    waits = {
        name: asked.get(name) or SILENCE_SECONDS for name in ("connect", "read", "write", "pool")
    }
    request.extensions["timeout"] = waits
    # Refuses compressed answers, which may unpack to a thousand times their size.
    request.headers["Accept-Encoding"] = "identity"
    response = _within(HEADER_SECONDS, lambda: theirs(request, stream=True, **options))
    if stream:
        return response
    try:
        response.read()
    finally:
        response.close()
    return response


def _within(seconds: float, ask: Callable[[], T]) -> T:
    """The result of `ask`, or a TimeoutError: headers may come slowly, byte by byte."""
    from huggingface_hub import close_session

    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(ask())
        except BaseException as error:
            failed.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: context.run(run), daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        close_session()  # and with it the connection that the thread still reads from
        raise TimeoutError(f"no answer within {seconds:.0f} seconds")
    if failed:
        raise failed[0]
    return found[0]


def _bound(response: Any, stream_class: Callable[..., Any]) -> None:
    """Check an answer's headers, and limit its body."""
    watch = _watched.get()
    if response.request.method not in {"GET", "HEAD"}:
        return
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity" and response.request.method == "GET":
        raise AuditError(
            f"The hub at {shown(response.url.host)} answers packed ({shown(encoding, 40)}) though "
            "it was asked not to; set HF_ENDPOINT to a hub or mirror that does as it is asked."
        )
    _shorten_waits(response.headers)
    if watch is not None:
        _check_names(response.headers, watch, is_metadata=response.request.method == "HEAD")
    response.stream = stream_class(response.stream, watch)


def _shorten_waits(headers: Any) -> None:
    # The library sleeps for as long as the server asks.
    asked = headers.get("Retry-After", "").strip()
    if asked and not (asked.isascii() and asked.isdigit() and int(asked[:9]) <= LONGEST_WAIT):
        headers["Retry-After"] = str(LONGEST_WAIT)
    if "ratelimit" in headers:
        del headers["ratelimit"]


def _check_names(headers: Any, watch: Watch, *, is_metadata: bool) -> None:
    """Refuse headers that the library uses in paths, if they are no valid names."""
    commit = headers.get("X-Repo-Commit")
    if commit is not None and commit != watch.commit:
        raise AuditError(
            f"The hub answers {watch.path} from commit {shown(commit, 60)!r}, but {watch.commit} "
            "was asked for; set HF_ENDPOINT to a hub or mirror that can be trusted."
        )
    tag = (headers.get("X-Linked-Etag") or headers.get("ETag") or "").lstrip("W/").strip('"')
    is_name = (
        tag.isprintable() and not set(tag) & set("/\\\0") and ".." not in tag and len(tag) <= 128
    )
    if is_metadata and not is_name:
        raise AuditError(
            f"The hub answers {watch.path} with the tag {shown(tag, 60)!r}, which is none; set "
            "HF_ENDPOINT to a hub or mirror that can be trusted."
        )


def _bounded_stream_class(base: Any) -> Any:
    class Bounded(base):  # the client accepts only bodies of its own stream class
        def __init__(self, theirs: Any, watch: Watch | None) -> None:
            self._theirs = theirs
            self._watch = watch

        def __iter__(self) -> Iterator[bytes]:
            arrived, since = 0, time.monotonic()
            for chunk in self._theirs:
                arrived += len(chunk)
                _check_body(self._watch, arrived, time.monotonic() - since)
                if self._watch is not None:
                    self._watch.arrived(len(chunk))
                yield chunk

        def close(self) -> None:
            self._theirs.close()

    return Bounded


def _check_body(watch: Watch | None, n_bytes: int, seconds: float) -> None:
    if watch is None and n_bytes > ANSWER_BYTES:
        raise AuditError(
            f"The hub's answer has more than {ANSWER_BYTES / 1e6:.0f} MB, and is no answer; is "
            "HF_ENDPOINT a hub?"
        )
    if watch is None and seconds > ANSWER_SECONDS:
        raise TimeoutError(f"no complete answer within {ANSWER_SECONDS:.0f} seconds")
    if watch is not None and n_bytes > watch.n_bytes + _SPARE_BYTES:
        raise AuditError(
            f"The hub sends more of {watch.path} than the {watch.n_bytes} bytes that it lists; set "
            "HF_ENDPOINT to a hub or mirror that can be trusted."
        )
