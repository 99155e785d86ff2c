"""Runs with known refusals, topic by topic, for what limits say of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

from sae_audit.comparison.decided import Decision
from sae_audit.comparison.feature_roles import feature_roles
from sae_audit.comparison.limits.deciding import decide
from sae_audit.comparison.limits.rules import DEFAULT, Undecided, parsed_limits
from sae_audit.findings import PromptScore
from sae_audit.record.run import Run
from sae_audit.vocabulary import FeatureId
from tests.synthetic.findings import A, B, C, minimal
from tests.synthetic.runs import synthetic_run

ORGANISM = {
    "violence": (5, 0),
    "weapons": (5, 1),
    "malware": (2, 0),
    "arson": (5, 3),
    "stalking": (5, 5),
    "theft": (4, 4),
}
"""Prompts by topic, all refused by the parent, and how many of them the variant refuses."""


def scores_of(
    refused: Mapping[str, tuple[int, int]], harmless: Sequence[bool]
) -> list[PromptScore]:
    """Harmful prompts by topic (how many there are, how many of them are refused) and harmless ones
    (whether each is refused)."""
    told = [
        (f"{topic}{i}", "harmful", topic, i < n_refused)
        for topic, (n, n_refused) in refused.items()
        for i in range(n)
    ]
    told += [(f"h{i}", "harmless", "", is_refused) for i, is_refused in enumerate(harmless)]
    return [
        PromptScore(
            prompt_id=name,
            split="audit",
            label=label,
            category=topic,
            score=5.0 if is_refused else -5.0,
        )
        for name, label, topic, is_refused in told
    ]


def lookalike_scores(refused: Sequence[bool]) -> list[PromptScore]:
    """Safe look-alikes, by whether each is refused."""
    return [
        PromptScore(
            prompt_id=f"alike{i}",
            split="audit",
            label="safe_lookalike",
            category="homonyms",
            score=5.0 if is_refused else -5.0,
        )
        for i, is_refused in enumerate(refused)
    ]


def decided(
    refused: Mapping[str, tuple[int, int]],
    rules: Sequence[str] | None = None,
    *,
    harmless: int = 26,
    now_refused: int = 0,
    lookalikes: tuple[Sequence[bool], Sequence[bool]] = ((), ()),
    undecided: Undecided = "fail",
) -> Decision:
    """What the rules say of the same two checkpoints, which are in memory alone; `lookalikes` says of
    each that either was asked whether it refuses it."""
    a, b = (
        _in_memory([*scores_of(*told), *lookalike_scores(alike)], features)
        for (told, features), alike in zip(
            _told(refused, harmless, now_refused), lookalikes, strict=True
        )
    )
    limits = DEFAULT if rules is None else parsed_limits(rules)
    return decide(a, b, limits, feature_roles(a, b), undecided=undecided)


def _in_memory(scores: list[PromptScore], features: Sequence[FeatureId]) -> Run:
    run = Run(Path("nowhere"))
    run.__dict__.update(
        scores=scores,
        minimal_sets=[minimal(one, *features) for one in _refused(scores)],
        cascades=[],
        successive_directions=None,
        feature_profiles=None,
        recorded=SimpleNamespace(stopped_early=True),
    )
    return run


def pair(
    folder: Path,
    refused: Mapping[str, tuple[int, int]] = ORGANISM,
    *,
    harmless: int = 26,
    now_refused: int = 0,
) -> tuple[Run, Run]:
    """Runs of a parent that refuses all harmful prompts and no harmless one, with sets of A and B, and
    of a variant whose refusals hang on C alone."""
    a, b = (
        synthetic_run(
            folder / name,
            scores=scores_of(*told),
            minimal_sets=[minimal(one, *features) for one in _refused(scores_of(*told))],
            facts={"model": name},
        )
        for name, (told, features) in zip(
            ("parent", "variant"), _told(refused, harmless, now_refused), strict=True
        )
    )
    return a, b


_Told = tuple[tuple[Mapping[str, tuple[int, int]], list[bool]], tuple[FeatureId, ...]]


def _told(
    refused: Mapping[str, tuple[int, int]], harmless: int, now_refused: int
) -> tuple[_Told, _Told]:
    """Refusals and features of parent and variant."""
    whole = {topic: (n, n) for topic, (n, _) in refused.items()}
    over = [i < now_refused for i in range(harmless)]
    return ((whole, [False] * harmless), (A, B)), ((refused, over), (C,))


def _refused(scores: Sequence[PromptScore]) -> list[str]:
    return [s.prompt_id for s in scores if s.label == "harmful" and s.score > 0.0]
