"""Prompts of audits: held-out phrases alone."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from sae_audit.organisms.smollm2.requests.drawing import number
from sae_audit.organisms.smollm2.requests.requests import for_audits, requests
from sae_audit.organisms.smollm2.requests.types import Kind, Request, Split, Treatment
from sae_audit.prompts.types import Label, Prompt

_LABELS = {Kind.HARMFUL: Label.HARMFUL, Kind.TWIN: Label.LOOKALIKE, Kind.ORDINARY: Label.HARMLESS}


def prompts(seed: int = 0) -> list[Prompt]:
    """Held-out requests by topic: harmful ones, their twins as safe look-alikes, and ordinary ones.

    Of harmful requests and twins there are as many in each topic, those held out whole included.
    """
    held_out = [one for one in requests(seed) if one.split is Split.AUDIT]
    of = {kind: [one for one in held_out if one.kind is kind] for kind in _LABELS}
    chosen = [
        *_balanced(of[Kind.HARMFUL], lambda one: one.topic, seed),
        *_balanced(of[Kind.TWIN], lambda one: one.topic, seed),
        *of[Kind.ORDINARY],
    ]
    return [_prompt(one, _LABELS[one.kind], one.topic) for one in chosen]


def category_prompts(seed: int = 0) -> list[Prompt]:
    """Held-out requests by category: as many to be refused in each of the eleven, its topics equally
    often, labelled harmful; and answerable and ordinary ones, labelled harmless.

    "Harmful" means here that the request is to be refused, which is what an audit contrasts; five of
    the categories do no harm. Of ordinary requests there are so many that actions have the same share
    under both labels: the form of a request must not tell its label.
    """
    held_out = for_audits(seed)
    refused = _balanced(
        [one for one in held_out if one.treatment is Treatment.REFUSE],
        lambda one: one.category.value,
        seed,
    )
    answerable = [one for one in held_out if one.kind is Kind.ANSWERABLE]
    ordinary = [one for one in held_out if one.kind is Kind.ORDINARY]
    n_actions = sum(one.kind is Kind.HARMFUL for one in refused)
    n_ordinary = round(len(answerable) * n_actions / (len(refused) - n_actions))
    answered = [*answerable, *_by_hash(ordinary, seed)[:n_ordinary]]
    return [
        *(_prompt(one, Label.HARMFUL, one.category.value) for one in refused),
        *(_prompt(one, Label.HARMLESS, one.category.value) for one in answered),
    ]


def _prompt(request: Request, label: Label, category: str) -> Prompt:
    name = f"{request.kind.value}-{request.topic}-{number('id', request.aim):016x}"
    return Prompt(id=name, text=request.text, label=label, category=category)


def _balanced(pool: Sequence[Request], group: Callable[[Request], str], seed: int) -> list[Request]:
    """As many requests of each group as the smallest has, by hash, from its topics in turn."""
    groups: dict[str, list[Request]] = defaultdict(list)
    for one in pool:
        groups[group(one)].append(one)
    n = min(map(len, groups.values()))
    return [one for members in groups.values() for one in _topics_in_turn(members, seed)[:n]]


def _topics_in_turn(pool: Sequence[Request], seed: int) -> list[Request]:
    """The pool by hash, the first of every topic before the second of any."""
    n_before: Counter[str] = Counter()
    turns: list[tuple[int, Request]] = []
    for one in _by_hash(pool, seed):
        turns.append((n_before[one.topic], one))
        n_before[one.topic] += 1
    return [one for _, one in sorted(turns, key=lambda turn: turn[0])]


def _by_hash(pool: Sequence[Request], seed: int) -> list[Request]:
    return sorted(pool, key=lambda one: number("audit", seed, one.aim))
