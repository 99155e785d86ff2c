"""The hub library's HTTP session within bounds: seconds, bytes, and headers that name no paths.

The library sets a limit to the silence between two bytes, at most; a server that sends a byte every
five seconds, or never stops, keeps it for ever. Every session is given here a limit for headers, a
total one for answers, and for files a least speed, which a download of any length keeps.
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
"""Between two bytes, and for a connection."""
HEADER_SECONDS = 20.0
"""Until an answer begins, redirections included."""
ANSWER_SECONDS = 40.0
"""For the whole of an answer that is no file."""
ANSWER_BYTES = 64 << 20
"""Of an answer that is no file: a listing of 200,000 files takes some 40 MB."""
STALL_SECONDS = 30.0
STALL_BYTES = 1024
"""A download in which fewer bytes arrive in `STALL_SECONDS` has stalled."""
LONGEST_WAIT = 30
"""Seconds that a server may ask to wait before it is asked again."""
_SPARE_BYTES = 1 << 16

_watched: contextvars.ContextVar["Watch | None"] = contextvars.ContextVar("watched", default=None)
_once = threading.Lock()


class Watch:
    """One file on its way: it keeps coming, and is no larger than was listed."""

    def __init__(self, path: str, *, commit: str, n_bytes: int) -> None:
        self.path = path
        self.commit = commit
        self.n_bytes = n_bytes
        self._since = time.monotonic()
        self._arrived = 0

    def arrived(self, n_bytes: int) -> None:
        """So many bytes more came.

        Raises:
            InterruptedDownloadError: too few have come for too long.
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
    """Inside the block answers are the bytes of this file, not metadata."""
    token = _watched.set(watch)
    try:
        yield
    finally:
        _watched.reset(token)


def bounded_session() -> Any:
    """The hub library's session, within bounds; all of the library's own requests go through it."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http, get_session

    with _once:
        # The library closes its session and makes a new one when a connection fails, so the bounds
        # belong to the factory. One that the user set (proxies, certificates) stays behind ours.
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
                return theirs(request, **options)  # an upload takes as long as it takes
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
    # An answer that unpacks to a thousand times its size is no use to anyone.
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
    """What `ask` returns, or a TimeoutError: headers may come byte by byte, each in time."""
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
    """Check an answer's headers, and put a limit to its body."""
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
    # The library sleeps for as long as it is told to.
    asked = headers.get("Retry-After", "").strip()
    if asked and not (asked.isascii() and asked.isdigit() and int(asked[:9]) <= LONGEST_WAIT):
        headers["Retry-After"] = str(LONGEST_WAIT)
    if "ratelimit" in headers:
        del headers["ratelimit"]


def _check_names(headers: Any, watch: Watch, *, is_metadata: bool) -> None:
    """Refuse headers that the library makes paths of, where they are no names."""
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
    class Bounded(base):  # the client refuses a body that is no stream of its own kind
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
