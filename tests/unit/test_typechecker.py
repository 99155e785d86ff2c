"""The checks that every other test runs under find what they are there for."""

from dataclasses import dataclass
from typing import Any

import jaxtyping
import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from tests.typechecker import checked

decorated: Any = jaxtyping.jaxtyped(typechecker=checked)
"""As the import hook decorates every function and class of the package."""


def added(
    a: Float[Tensor, "row column"], b: Float[Tensor, " column"]
) -> Float[Tensor, "row column"]:
    return a + b if len(b) < 9 else b


def test_axes_of_one_name_have_one_size():
    call = decorated(added)
    for n in (2, 3, 2):
        call(torch.ones(2, n), torch.ones(n))
    with pytest.raises(TypeCheckError):
        call(torch.ones(2, 3), torch.ones(2))
    with pytest.raises(TypeCheckError):
        call(torch.ones(2, 3, dtype=torch.int64), torch.ones(3))


def test_a_result_is_checked_for_every_size_of_its_arguments():
    call = decorated(added)
    call(torch.ones(2, 3), torch.ones(3))
    with pytest.raises(TypeCheckError):
        call(torch.ones(2, 9), torch.ones(9))


def test_what_was_found_wrong_once_is_found_again():
    call = decorated(added)
    for _ in range(2):
        with pytest.raises(TypeCheckError):
            call(torch.ones(2, 9), torch.ones(9))


def test_collections_are_told_apart():
    @decorated
    def first(rows: list[Float[Tensor, " 3"]]) -> Float[Tensor, " 3"]:
        return rows[0]

    first([torch.ones(3)])
    with pytest.raises(TypeCheckError):
        first([torch.ones(4)])


def named(count: int) -> str:
    return "few" if count < 3 else None  # pyright: ignore[reportReturnType]


def test_functions_without_arrays_are_checked_too():
    call = decorated(named)
    assert call(1) == "few"
    with pytest.raises(BeartypeCallHintViolation):
        call("one")
    with pytest.raises(BeartypeCallHintViolation):
        call(3)


@decorated
@dataclass(frozen=True)
class Held:
    count: float
    rows: Float[Tensor, "row column"]


def test_fields_of_a_dataclass():
    assert Held(count=1, rows=torch.ones(1, 2)).count == 1
    with pytest.raises(TypeCheckError):
        Held(count=1, rows=torch.ones(2))
