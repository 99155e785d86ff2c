"""How annotations are checked in tests: an int is a float, as everywhere in Python."""

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))
_made: dict[tuple[Any, ...], Callable[..., Any]] = {}


def checked(stub: Callable[..., Any]) -> Callable[..., Any]:
    """The check of one signature, made once.

    jaxtyping hands over an empty function with the signature of the annotated one, and does so again
    whenever a function is defined inside another that runs: thousands of times in an audit. Which
    arguments the check takes, and what it asks of each, is all there is to it.
    """
    code = stub.__code__
    taken = (code.co_varnames, code.co_argcount, code.co_kwonlyargcount, code.co_flags)
    n_defaults = (len(stub.__defaults__ or ()), tuple(stub.__kwdefaults__ or ()))
    signature = (
        stub.__module__,
        stub.__qualname__,
        taken,
        n_defaults,
        tuple(stub.__annotations__.items()),
    )
    try:
        if signature not in _made:
            _made[signature] = _check(stub)
    except TypeError:  # An annotation that cannot be looked up.
        return _check(stub)
    return _made[signature]
