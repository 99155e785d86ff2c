"""Asking about candidate directions, each on as few validation prompts as decide the choice.

The choice always equals that of asking about every candidate on all prompts: a candidate is dropped only
once its bounds (`bounds`) show that no further answer could make it the chosen one.

1. Ask for the bypass of every candidate outside the cut layers on a few prompts.
2. Ask about the most promising candidates in full, one after the other, until one passes (the leader).
3. For every other candidate, ask the cheapest question that shows it is not chosen: KL too large,
   induced score too low, or bypass above the leader's. A candidate that looks better than the leader is
   asked about in full.
4. Do 2 and 3 again without the limit of KL: what would be chosen at any cost says what the limit costs,
   and is the choice if none passes every filter.
5. If none passes, complete what is reported then: the lowest KL, and the lowest at which refusal goes;
   if none induces refusal either, the highest induced score and the lowest bypass.

Estimates from the prompts asked so far decide the order only, never the choice.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from sae_audit.direction.bounds import Answers, Candidates
from sae_audit.direction.standing import Standing

_FIRST_SHARE = 32
"""Divisor of the number of prompts; a measure is first tried on that share of them, at least one."""
_PROBE_BELOW = 0.3
"""Share of the cost of ruling a candidate out by bypass or KL; below it, induced scores not yet asked
are tried on one prompt."""
_PROBE_KL_FROM = 5.5
"""Prompts still needed to rule a candidate out; above this number, KL is tried on one prompt first."""


def ask_until_decided(standing: Standing, progress: Callable[[int, int], None]) -> None:
    """Ask until `standing.selected()` is final, as if every candidate had been asked about in full."""
    n = len(standing.vectors)
    for at_any_cost in (False, True):
        while (open_ := standing.open(at_any_cost=at_any_cost)).any():
            progress(n - int(open_.sum()), n)
            if not _screen(standing, open_):
                _narrow(standing, open_, at_any_cost=at_any_cost)
    if standing.leader(at_any_cost=False) is None:
        while (deciding := standing.decides_best()).any():
            progress(n - int(deciding.sum()), n)
            _complete(standing, deciding)
    progress(n, n)


def _screen(standing: Standing, chosen: Candidates) -> bool:
    """Whether any candidate had not been asked about at all; these are asked about now."""
    new = chosen & (standing.bypass.n == 0)
    standing.ask(standing.bypass, new * _first(standing.bypass))
    return bool(new.any())


def _first(answers: Answers) -> int:
    return max(1, answers.n_prompts // _FIRST_SHARE)


def _narrow(standing: Standing, open_: Candidates, *, at_any_cost: bool) -> None:
    leader = standing.leader(at_any_cost=at_any_cost)
    kl_limit = np.inf if at_any_cost else standing.settings.kl_limit
    likely = open_ & ~_seems_to_fail(standing, kl_limit)
    if leader is None:
        candidates = likely if likely.any() else open_
        _go_on(standing, _argmin(standing.bypass.so_far, candidates), kl_limit, to_the_end=True)
        return
    expected = _expected_bypass(standing, leader)
    better = likely & (expected <= standing.bypass.mean(leader))
    if better.any():
        _go_on(standing, _argmin(expected, better), kl_limit, to_the_end=False)
        return
    _show_cheaply(standing, open_, expected, leader, kl_limit)


def _seems_to_fail(standing: Standing, kl_limit: float) -> Candidates:
    too_large = standing.kl.so_far > kl_limit
    return too_large | (standing.induce.so_far < standing.settings.induce_floor)


def _expected_bypass(standing: Standing, leader: int) -> Float[np.ndarray, " candidate"]:
    """Estimated mean over all prompts: the leader's mean plus the difference so far."""
    n = standing.bypass.n
    running = np.cumsum(standing.bypass.values[leader]) / np.arange(
        1, standing.bypass.n_prompts + 1
    )
    return standing.bypass.mean(leader) + standing.bypass.so_far - running[np.maximum(n, 1) - 1]


def _go_on(standing: Standing, candidate: int, kl_limit: float, *, to_the_end: bool) -> None:
    """Ask about the filters first, the less asked one before the other, then about bypass; about a KL
    without a limit last."""
    asked = (standing.kl, standing.induce) if np.isfinite(kl_limit) else (standing.induce,)
    filters = [one for one in asked if one.missing[candidate]]
    last = standing.bypass if standing.bypass.missing[candidate] else standing.kl
    answers = min(filters, key=lambda one: one.n[candidate], default=last)
    n_more = int(answers.missing[candidate])
    if filters or not to_the_end:
        n_more = max(_first(answers), int(answers.n[candidate]))
    standing.ask(answers, _only(standing, candidate, n_more))


def _show_cheaply(
    standing: Standing,
    open_: Candidates,
    expected: Float[np.ndarray, " candidate"],
    leader: int,
    kl_limit: float,
) -> None:
    """Ask each candidate the cheapest measure, on half of the prompts expected to rule it out."""
    share = standing.share_above
    bound = standing.score_bound
    below = bound - standing.settings.induce_floor
    above = bound + standing.bypass.mean(leader)
    bypass = _needed(standing.bypass, above, bound + expected)
    kl = _needed(standing.kl, kl_limit, standing.kl.so_far)
    induce = _needed(standing.induce, below, bound - standing.induce.so_far)
    others = np.minimum(bypass, kl)
    probe = open_ & (standing.induce.n == 0) & (share < _PROBE_BELOW * others)
    if probe.any():
        standing.ask(standing.induce, probe * _first(standing.induce))
        return
    # The last layer's share is 0, and 0 times infinity is not a number.
    added = np.where(np.isfinite(induce), np.nan_to_num(induce) * share, np.inf)
    cheapest = np.minimum(others, added)
    probe = open_ & (standing.kl.n == 0) & (cheapest > _PROBE_KL_FROM)
    if np.isfinite(kl_limit) and probe.any():
        standing.ask(standing.kl, probe * _first(standing.kl))
        return
    for answers, needed, cost in (
        (standing.kl, kl, kl),
        (standing.bypass, bypass, bypass),
        (standing.induce, induce, added),
    ):
        chosen = open_ & np.isfinite(cost) & (cost == cheapest)
        open_ = open_ & ~chosen
        standing.ask(answers, np.ceil(np.where(chosen, needed, 0.0) / 2).astype(int))
    for candidate in np.flatnonzero(open_):
        _go_on(standing, int(candidate), kl_limit, to_the_end=False)


def _needed(
    answers: Answers, limit: float, mean: Float[np.ndarray, " candidate"]
) -> Float[np.ndarray, " candidate"]:
    """Further prompts until a sum of values with this mean exceeds the limit; infinity if none can."""
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.ceil(answers.n_prompts * limit / mean)
    shows = (mean > limit) & (answers.missing > 0)
    return np.where(shows, np.clip(total - answers.n, 1, answers.missing), np.inf)


def _complete(standing: Standing, deciding: Candidates) -> None:
    """Ask about the likeliest extremes in full, then double the prompts that all others are asked about,
    first for KL: it rules out the soonest."""
    if _screen(standing, deciding):
        return
    new = deciding & (standing.kl.n == 0)
    if new.any():
        standing.ask(standing.kl, new * _first(standing.kl))
        return
    for extreme in _likely_extremes(standing, deciding):
        for answers in standing.measures:
            standing.ask(answers, _only(standing, extreme, int(answers.missing[extreme])))
    left = standing.decides_best()
    for answers in (standing.kl, standing.bypass, standing.induce):
        chosen = left & (answers.missing > 0)
        standing.ask(answers, np.where(chosen, np.maximum(answers.n, _first(answers)), 0))
        left &= ~chosen


def _likely_extremes(standing: Standing, deciding: Candidates) -> set[int]:
    """Of each thing reported, the candidate that is it so far."""
    kl, bypass = standing.kl.so_far, standing.bypass.so_far
    found = {_argmin(kl, deciding)}
    removing = deciding & (bypass < 0.0)
    if removing.any():
        found.add(_argmin(kl, removing))
    if standing.leader(at_any_cost=True) is None:
        found |= {_argmin(bypass, deciding), _argmin(-standing.induce.so_far, deciding)}
    return found


def _argmin(values: Float[np.ndarray, " candidate"], among: Candidates) -> int:
    """Index of the smallest value, the first of equals; missing values come last."""
    return int(np.where(among, np.nan_to_num(values, nan=1e9), np.inf).argmin())


def _only(standing: Standing, candidate: int, n: int) -> Int[np.ndarray, " candidate"]:
    found = np.zeros(len(standing.vectors), int)
    found[candidate] = n
    return found
