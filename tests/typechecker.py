"""How annotations are checked in tests: shapes by jaxtyping, everything else by beartype.

jaxtyping binds the arguments of every call anew and keeps the sizes of named axes; that is what a test
run would spend most of its time on. A function without an array in its signature needs neither, and one
that was asked with arrays of these sizes and types before was checked with them.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""An int is a float, as everywhere in Python."""
_made: dict[tuple[Any, ...], Callable[..., Any]] = {}
_with_shapes: Callable[..., Any] = jaxtyping.jaxtyped


def check_only_shapes_by_jaxtyping() -> None:
    """From now on the import hook of jaxtyping decorates with `_checked_by_need`."""
    jaxtyping.jaxtyped = _checked_by_need


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


def _checked_by_need(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    def decorated(decorated: Any) -> Any:
        if inspect.isclass(decorated):
            if "__init__" in vars(decorated) and dataclasses.is_dataclass(decorated):
                decorated.__init__ = _function(decorated.__init__, typechecker)
            return decorated
        if inspect.isfunction(decorated):
            return _function(decorated, typechecker)
        return _with_shapes(decorated, typechecker=typechecker)

    return decorated


def _function(function: Callable[..., Any], typechecker: Callable[..., Any]) -> Callable[..., Any]:
    if any(_has_array(annotation) for annotation in function.__annotations__.values()):
        return _once_a_shape(function, _with_shapes(function, typechecker=typechecker))
    # Made anew at every call of the function around it: the type checker of the sources sees to it.
    return function if "<locals>" in function.__qualname__ else _check(function)


def _once_a_shape(function: Callable[..., Any], check: Callable[..., Any]) -> Callable[..., Any]:
    """The function, checked whenever sizes or types of its arguments are new."""
    seen: set[tuple[Any, ...]] = set()

    @functools.wraps(function)
    def called(*args: Any, **named: Any) -> Any:
        asked = (*map(_kind, args), *((name, _kind(value)) for name, value in named.items()))
        if asked in seen:
            return function(*args, **named)
        result = check(*args, **named)
        seen.add(asked)
        return result

    return called


def _kind(value: Any) -> Any:
    """Type and size of an argument; of a collection, those of one of its members too."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return type(value), tuple(shape), value.dtype
    if isinstance(value, dict):
        return dict, len(value), _kind(next(iter(value.values()), None))
    if isinstance(value, list | tuple):
        return type(value), len(value), _kind(value[0]) if value else None
    return type(value)


def _has_array(annotation: Any) -> bool:
    """Whether an array with a shape stands in it; a name that is not looked up yet may be one."""
    if isinstance(annotation, str):
        return True
    if inspect.isclass(annotation) and issubclass(annotation, AbstractArray):
        return True
    return any(_has_array(part) for part in get_args(annotation))
