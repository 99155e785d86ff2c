"""Example findings whose numbers all differ, so that a value in a wrong field is noticed."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import Enum
from itertools import count, cycle
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from sae_audit.vocabulary import FeatureId

_F = TypeVar("_F", bound="Finding")
# Not `Self`, which the tests' check of signatures refuses on a method.


def primes() -> Iterator[int]:
    """The prime numbers, ascending."""
    found: list[int] = []
    for number in count(2):
        if all(number % prime for prime in found if prime * prime <= number):
            found.append(number)
            yield number


class Finding:
    """Base of all findings."""

    @classmethod
    def example(cls: type[_F], numbers: Iterator[int] | None = None, **given: Any) -> _F:
        """An example whose every number, at any depth, is another prime.

        It is made from the declared types, so new fields are covered: optional fields are filled,
        tuples have two items, flags alternate. `numbers` continue those of another example; `given`
        fields are used unchanged. A class whose fields must agree with each other overrides this.
        """
        numbers = primes() if numbers is None else numbers
        flags = cycle((True, False))
        kinds = get_type_hints(cls, include_extras=True)
        names = [field.name for field in fields(cls)]  # pyright: ignore[reportArgumentType]
        made = {
            name: next(flags) if kinds[name] is bool else _made_up(kinds[name], name, numbers)
            for name in names
            if name not in given
        }
        return cls(**made, **given)


def _made_up(kind: Any, name: str, numbers: Iterator[int]) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Annotated, Union, UnionType):
        return _made_up(next(part for part in parts if part is not type(None)), name, numbers)
    if origin is tuple:
        each = parts[:1] * 2 if parts[-1] is ... else parts
        return tuple(_made_up(part, name, numbers) for part in each)
    if origin in (dict, Mapping):
        key, value = parts
        keys = list(key) if _is(key, Enum) else [_made_up(key, name, numbers) for _ in range(2)]
        return {one: _made_up(value, name, numbers) for one in keys}
    if _is(kind, Finding):
        return kind.example(numbers)
    if _is(kind, Enum):
        return list(kind)[next(numbers) % len(kind)]
    if kind is FeatureId:
        return FeatureId(next(numbers), next(numbers))
    if kind is str:
        return f"{name} {next(numbers)}"
    if kind is bool:
        return True
    assert kind in (int, float), f"{name}: no example of {kind}"
    return kind(next(numbers))


def _is(kind: Any, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)
