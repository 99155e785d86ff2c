"""What an audit of so many prompts will be able to show, before it is made.

By the functions with which a comparison computes its own power (`comparison.power`), so that a plan and
the comparison of two finished audits say the same. Nothing is read of the model.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sae_audit.comparison.power import smallest_shift, smallest_switching_share
from sae_audit.comparison.testing import LEVEL, can_be_significant, fewest_pairs, smallest_p
from sae_audit.config import EvidenceSettings
from sae_audit.prompts.types import Prompt

_TESTS = 8
"""Tests of a comparison besides those of categories: share and mean score of either label; directions
needed, set size, features and depth at matched margin."""
_SIZES = (20, 40, 100)
"""Prompts of each label that every plan speaks of, beside those asked for."""


@dataclass(frozen=True, kw_only=True)
class CategorySize:
    """Number of audit prompts of one category."""

    label: str
    category: str
    n: int


@dataclass(frozen=True, kw_only=True)
class AtSize:
    """What audits of this many prompts of each label can show."""

    n: int
    is_planned: bool
    smallest_category: int
    """Prompts that a category needs for a test in a comparison, were it the only one tested."""
    smallest_loss: float | None
    """Loss of the share refused that a comparison finds with 80% probability if the parent refuses all;
    None if it finds none."""
    smallest_loss_half: float | None
    """The same if the parent refuses half of them."""
    smallest_shift: float | None
    """Change of the mean score found with 80%, in standard deviations of prompts' differences."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What an audit, and its comparison with another, can show."""

    sizes: tuple[AtSize, ...]
    smallest_p_of_pools: float
    """Of the candidates among random pools of the same SAEs (`evidence.null_pools`), at any size."""
    smallest_p_of_dictionaries: float | None
    """Of the SAEs among null dictionaries (`evidence.null_dictionaries`); None if none is searched."""
    n_tests: int
    """Tests that a comparison of the planned size corrects for; other sizes are reckoned with 8."""
    categories: tuple[CategorySize, ...]
    """Of the audit prompts; empty if prompts are not read yet."""
    untested: tuple[CategorySize, ...]
    """Those too small for any test in a comparison, largest first."""


def evidence_of(n: int, categories: Sequence[CategorySize], settings: EvidenceSettings) -> Evidence:
    """The evidence that `n` audit prompts of each label allow, with these nulls."""
    pairs = [smallest_p(n)] * _TESTS + [smallest_p(one.n) for one in categories]
    enters = can_be_significant(pairs)
    untested = [one for one, tested in zip(categories, enters[_TESTS:], strict=True) if not tested]
    n_tests = int(enters.sum())
    return Evidence(
        sizes=tuple(
            _at(one, n_tests if one == n else _TESTS, is_planned=one == n)
            for one in sorted({n, *_SIZES})
        ),
        smallest_p_of_pools=1 / (settings.null_pools + 1),
        smallest_p_of_dictionaries=1 / (settings.null_dictionaries + 1)
        if settings.null_dictionaries
        else None,
        n_tests=n_tests,
        categories=tuple(categories),
        untested=tuple(sorted(untested, key=lambda one: -one.n)),
    )


def _at(n: int, n_tests: int, *, is_planned: bool) -> AtSize:
    level = LEVEL / max(n_tests, 1)
    all_of, half = smallest_switching_share(n, level), smallest_switching_share(n // 2, level)
    return AtSize(
        n=n,
        is_planned=is_planned,
        smallest_category=fewest_pairs(_TESTS),
        smallest_loss=all_of,
        smallest_loss_half=None if half is None else half * (n // 2) / n,
        smallest_shift=smallest_shift(n, level),
    )


def categories_of(prompts: Iterable[Prompt]) -> tuple[CategorySize, ...]:
    """Sizes of the categories of audit prompts; none of a label that has only one."""
    counts = Counter((prompt.label.value, prompt.category) for prompt in prompts)
    named = Counter(label for label, category in counts if category)
    return tuple(
        CategorySize(label=label, category=category, n=n)
        for (label, category), n in sorted(counts.items())
        if category and named[label] > 1
    )
