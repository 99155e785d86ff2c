"""Renders Jinja templates, one JSON line in, one out: the program that `rendering` starts.

A template is a foreign program. jinja2's sandbox keeps it from Python's own objects, but lets it run
forever and fill the memory. So it runs in a process that has only jinja2, opens no further file or
connection, is stopped by the system at a limit of memory or seconds, and ends with its input.

Run as a file by `python -I -S`, so it imports nothing of this package.
"""

import json
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

# The day, then the folders of jinja2 and markupsafe: with -S, no installed package is found.
sys.path += sys.argv[2:]

import encodings.unicode_escape  # noqa: F401
import pprint  # noqa: F401  (what filters and literals import only when they are used)
import random  # noqa: F401
import textwrap  # noqa: F401
import unicodedata  # noqa: F401
import urllib.parse  # noqa: F401

import jinja2.debug
import jinja2.ext
from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

_MEMORY = 512 << 20
_SECONDS = 2
"""Seconds of computing for one rendering; the system counts whole ones, so up to one more."""
_TEMPLATES = 8
"""Compiled templates in the cache."""
_LONGEST = 4 << 20
"""Characters, the limit of a rendered text."""
_SHOWN = 300


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`, by which some templates mark the model's words; the words are unchanged."""

    tags = {"generation"}  # noqa: RUF012  (jinja2's own declaration)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        # A block of its own: assignments inside have no effect after it.
        return nodes.CallBlock(self.call_method("_words"), [], [], body).set_lineno(line)

    def _words(self, caller: Callable[[], str]) -> str:
        return caller()


class _Dict:
    """`dict(...)` without the type's other attributes."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """`namespace(...)` that refuses names reserved by Python."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, values = args[0], dict(*args[1:], **kwargs)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace holds no {name!r}")


def _raise_exception(message: Any) -> None:
    raise TemplateError(str(message))


def _as_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _chat_environment() -> ImmutableSandboxedEnvironment:
    """transformers' environment for chat templates, with the clock fixed at midnight of that day."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = _as_json
    _without_randomness(made)
    made.globals.update(
        raise_exception=_raise_exception,
        strftime_now=datetime.fromisoformat(sys.argv[1]).strftime,
        dict=_Dict(),
        namespace=_Namespace,
    )
    return made


def _without_randomness(made: ImmutableSandboxedEnvironment) -> None:
    """Remove random functions, so that an audit can be repeated."""
    del made.filters["random"]
    del made.globals["lipsum"]


def _plain_environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    _without_randomness(made)
    made.globals.update(dict=_Dict(), namespace=_Namespace)
    return made


_ENVIRONMENTS = {"chat": _chat_environment, "plain": _plain_environment}


def _rendered(request: Mapping[str, Any], compiled: dict[tuple[str, str], Template]) -> str:
    kind, source = request["kind"], request["source"]
    if (kind, source) not in compiled:
        if len(compiled) >= _TEMPLATES:
            compiled.clear()
        # One environment each: templates of different authors share nothing.
        compiled[kind, source] = _ENVIRONMENTS[kind]().from_string(source)
    pieces: list[str] = []
    n = 0
    for piece in compiled[kind, source].generate(**request["variables"]):
        n += len(piece)
        if n > _LONGEST:
            raise TemplateError(f"it writes more than {_LONGEST} characters")
        pieces.append(piece)
    return "".join(pieces)


def _answer(
    request: Mapping[str, Any], compiled: dict[tuple[str, str], Template]
) -> dict[str, str]:
    try:
        return {"text": _rendered(request, compiled)}
    except MemoryError:
        return {"error": "it needs too much memory"}
    except RecursionError:
        return {"error": "it calls itself without end"}
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        kind = "" if isinstance(error, TemplateError) else f"{type(error).__name__}: "
        return {"error": (kind + reason)[:_SHOWN]}


def _bound() -> None:
    try:
        import resource
    except ImportError:  # not Unix: only the seconds that `rendering` waits bound it
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Only input and output stay open.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _allow_seconds() -> None:
    """Limit computing until the next request to `_SECONDS`; the system then ends the process."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + _SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def main() -> None:
    _bound()
    compiled: dict[tuple[str, str], Template] = {}
    for line in iter(sys.stdin.readline, ""):
        _allow_seconds()
        sys.stdout.write(json.dumps(_answer(json.loads(line), compiled)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
