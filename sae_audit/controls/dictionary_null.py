"""Minimal sets compared with those that the same search finds with null dictionaries (2602.14111).

1. A dictionary's statistic is the geometric mean, over the same prompts, of the number of features that
   a flip takes. All prompts share a dictionary, so dictionaries are what is counted: p is the rank of
   the real one among them.
2. A null dictionary does as well if its statistic is no larger. Sizes only grow as its searches go on,
   so they may be ended once lower bounds exceed the real statistic.
3. One that does as well fells the claim, so no more of its kind are drawn: p is then 1/n for the n-th
   (Besag and Clifford 1991, h = 1), which is at most a with probability at most a if the real dictionary
   is one more draw.
4. Features must be fewer by more than prompts vary, too: the interval of the ratio, paired by prompt,
   lies below 1.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sae_audit.findings import (
    DictionaryNull,
    Estimate,
    KindOfNull,
    MinimalSet,
    NullDictionary,
    NullKind,
    SearchedSet,
    TextSet,
)
from sae_audit.statistics import mean, rank_p_value

_LogSizes = Float[np.ndarray, " prompt"]

_ROUNDING = 1e-12
"""Rounding must not make a smaller one of an equal one."""


def own_sets(
    within: Sequence[MinimalSet],
    unlimited: Sequence[MinimalSet],
    prompts: Sequence[str],
    in_text: Sequence[TextSet] | None,
) -> list[SearchedSet]:
    """The real dictionary's sets for these prompts, counted as those of a null are.

    `within` are the minimal sets within the side-effect limits, `unlimited` those found without limits,
    `in_text` the sets that flip in text, if flips count only there.
    """
    by_score = {one.prompt_id: one for one in within}
    by_text = {} if in_text is None else {one.prompt_id: one for one in in_text}
    first = {one.prompt_id: one for one in unlimited}
    return [
        _own_set(by_score[prompt_id], len(first[prompt_id].features), by_text.get(prompt_id))
        for prompt_id in prompts
    ]


def _own_set(own: MinimalSet, n_unlimited: int, in_text: TextSet | None) -> SearchedSet:
    last = own if in_text is None else in_text
    return SearchedSet(
        prompt_id=own.prompt_id,
        features=last.features,
        n_candidates=own.n_candidates,
        size=counted_size(
            len(last.features),
            max(n_unlimited, own.largest_given_up, len(own.features)),
            own.n_candidates,
        ),
        exact=True,
        searched=True,
        complied=None if in_text is None else in_text.flipped,
        kl=None if (effects := last.side_effects) is None else effects.kl.value,
    )


def counted_size(n_within: int, largest: int, n_candidates: int) -> int:
    """Features that a flip takes: those of the set within the limits, and no fewer than any found on the
    way, without limits or beyond them; one more than there are candidates if there is no such set.

    What flips once features are given up flips with them, so the fewest that do can only become more; a
    search that is not exhaustive may find fewer.
    """
    return max(n_within, largest) if n_within else n_candidates + 1


def does_as_well(own: Sequence[SearchedSet], null: Sequence[SearchedSet]) -> bool:
    """Whether a null dictionary needs no more features than the real one on the same prompts.

    If some of its sizes are bounds it may yet need more; that it does not do as well is then certain.
    """
    return bool(_log_sizes(null).mean() <= _log_sizes(own).mean() + _ROUNDING)


def against_dictionaries(
    own: Sequence[SearchedSet],
    dictionaries: Sequence[NullDictionary],
    *,
    n_asked: int,
    one_ends: bool,
    in_text: bool,
) -> DictionaryNull:
    """The real dictionary's sets beside the null dictionaries' for the same prompts.

    `n_asked` dictionaries were to be drawn of each kind that must be beaten; if `one_ends`, no more of a
    kind were drawn once one did as well. All that the user names are searched. `in_text` says that flips
    count only if the judge calls the answer compliance.
    """
    assert dictionaries, "no null dictionary"
    assert all(_prompts(own) == _prompts(one.sets) for one in dictionaries), "sets of other prompts"
    kinds = tuple(
        _kind(kind, own, drawn, n_asked=n_asked, one_ends=one_ends)
        for kind in NullKind
        if (drawn := [one for one in dictionaries if one.kind is kind])
    )
    decisive = [one for one in kinds if one.kind.about_features]
    return DictionaryNull(
        prompts=_prompts(own),
        kinds=kinds,
        in_text=in_text,
        n_judged=sum(one.complied is not None for null in dictionaries for one in null.sets),
        stands=all(one.beaten for one in decisive),
        reason=_reason(decisive, len(own), in_text=in_text),
    )


def _prompts(sets: Sequence[SearchedSet]) -> tuple[str, ...]:
    return tuple(one.prompt_id for one in sets)


def _kind(
    kind: NullKind,
    own: Sequence[SearchedSet],
    drawn: Sequence[NullDictionary],
    *,
    n_asked: int,
    one_ends: bool,
) -> KindOfNull:
    own_mean = _log_sizes(own).mean()
    means = np.array([_log_sizes(one.sets).mean() for one in drawn])
    n_as_good = sum(does_as_well(own, one.sets) for one in drawn)
    stops = kind.about_features and kind.drawn
    n_asked = n_asked if stops else len(drawn)
    ended = one_ends and stops and n_as_good > 0
    assert not ended or n_as_good == 1, "drawn on after one that is as good"
    searched, ratio = _ratio(own, drawn)
    return KindOfNull(
        kind=kind,
        n=len(drawn),
        n_asked=n_asked,
        n_as_good=n_as_good,
        flipped=_n_flipped(own),
        flipped_null=tuple(_n_flipped(one.sets) for one in drawn),
        mean_size=float(np.exp(own_mean)),
        mean_size_null=tuple(float(one) for one in np.exp(means)),
        n_exact=sum(all(one.exact for one in null.sets) for null in drawn),
        searched_size=searched,
        ratio=ratio,
        p_value=1.0 / len(drawn) if ended else rank_p_value(-own_mean - _ROUNDING, -means),
        smallest_p=1 / (n_asked + 1),
    )


def _log_sizes(sets: Sequence[SearchedSet]) -> _LogSizes:
    return np.log([one.size for one in sets])


def _n_flipped(sets: Sequence[SearchedSet]) -> int:
    return sum(one.size <= one.n_candidates for one in sets)


def _ratio(
    own: Sequence[SearchedSet], drawn: Sequence[NullDictionary]
) -> tuple[float | None, Estimate | None]:
    """The null's mean size over the prompts that were searched, and the ratio of the real size to the
    null's, paired by prompt.

    Prompts are searched in an order that no size decides, until the sizes found are too large: so later
    ones are searched with the better dictionaries, and a null looks better than it is, if anything.
    """
    by_prompt = [
        [float(np.log(one.sets[i].size)) for one in drawn if one.sets[i].searched]
        for i in range(len(own))
    ]
    asked = [i for i, logs in enumerate(by_prompt) if logs]
    if not asked:
        return None, None
    null = np.array([np.mean(by_prompt[i]) for i in asked])
    searched = float(np.exp(null.mean()))
    if not _n_flipped(own) and not any(_n_flipped(one.sets) for one in drawn):
        return searched, None
    logs = mean(_log_sizes([own[i] for i in asked]) - null)
    value, low, high = map(float, np.exp([logs.value, logs.low, logs.high]))
    return searched, Estimate(value=value, low=low, high=high, n=logs.n, method=logs.method)


def _reason(kinds: Sequence[KindOfNull], n_prompts: int, *, in_text: bool) -> str:
    if not kinds:
        return "No null dictionary that knows nothing of the model was searched."
    better = "fewer than" if all(one.beaten for one in kinds) else "and not clearly fewer than"
    flip, flipped = "A flip in text" if in_text else "A flip", kinds[0].flipped
    not_flipped = (
        f", {flipped} of them flipped; the others count as more than all candidates"
        if flipped < n_prompts
        else ""
    )
    return (
        f"{flip} takes {kinds[0].mean_size:.1f} features of these SAEs (geometric mean over {n_prompts} "
        f"prompts{not_flipped}), {better} with null dictionaries: "
        f"{'; '.join(f'{_NAMES[one.kind]} {sizes_in_words(one)} ({_drawn(one)})' for one in kinds)}."
    )


_NAMES = {
    NullKind.ROTATED: "rotated at random",
    NullKind.ROTATED_ABOUT_DIRECTION: "rotated about the direction",
    NullKind.RANDOM_ROWS: "random decoder rows",
    NullKind.GIVEN: "the SAEs named by you",
    NullKind.SAME_COSINES: "random decoder rows of the same cosines",
}


def sizes_in_words(kind: KindOfNull) -> str:
    """The features that flips take with null dictionaries of a kind: a range if all were searched to the
    end, else the mean of what was."""
    if not any(kind.flipped_null):
        return "flip none of them"
    if kind.n_exact == kind.n:
        low, high = (f"{f(kind.mean_size_null):.1f}" for f in (min, max))
        return f"take {low}" if low == high else f"take {low} to {high}"
    if kind.n_as_good:
        best = min(kind.mean_size_null)
        return f"take {best:.1f} with one that does as well"
    assert kind.searched_size is not None, "ended before any search"
    return f"take more than {kind.mean_size:.1f} each, {kind.searched_size:.1f} where searched"


def _drawn(kind: KindOfNull) -> str:
    if not kind.kind.drawn:
        as_good = "beaten" if kind.beaten else "not clearly beaten"
        return f"{kind.n} given, {as_good}; no p below {kind.smallest_p:.2g} is possible"
    smallest = f"p = {kind.p_value:.2g}, the smallest possible {kind.smallest_p:.2g}"
    return (
        f"{kind.n} of {kind.n_asked} drawn, {smallest}"
        if kind.n < kind.n_asked
        else (f"{kind.n} drawn, {smallest}")
    )
