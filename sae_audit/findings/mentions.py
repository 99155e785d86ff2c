"""Which features the findings name, and how often: their importance."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sae_audit.findings.cascades import ActivationEdges, Cascade
from sae_audit.findings.interactions import InteractionGraph
from sae_audit.findings.minimal_sets import MinimalSet, MinimalSetFamily, PooledSet
from sae_audit.findings.text_sets import TextSet
from sae_audit.vocabulary import FeatureId


@dataclass(frozen=True, kw_only=True)
class Mention:
    """How often the findings of a run name one feature."""

    feature: FeatureId
    n_minimal: int
    """Number of prompts whose minimal set holds it."""
    in_pooled: bool
    """Whether the set for many prompts holds it."""
    n_text: int
    """Number of prompts whose set by the answer's text holds it."""
    n_families: int
    """Number of prompts of which some minimal set, the first or another, holds it."""
    n_waves: int
    """Number of prompts on which it activates and joins a later wave."""
    n_pairs: int
    """Number of named pairs that it is part of, over single prompts' fits and the pooled one."""
    n_edges: int
    """Number of edges that it is cause or activated feature of, over prompts."""
    n_unlimited: int
    """Number of prompts whose minimal set without side-effect limits holds it."""

    @property
    def importance(self) -> tuple[int, ...]:
        """Sets first, then what else names it; larger is more important."""
        return (
            self.n_minimal,
            int(self.in_pooled),
            self.n_text,
            self.n_families,
            self.n_waves,
            self.n_pairs,
            self.n_edges,
            self.n_unlimited,
        )


def mentions(
    *,
    minimal_sets: Sequence[MinimalSet],
    unlimited_sets: Sequence[MinimalSet],
    text_sets: Sequence[TextSet],
    families: Sequence[MinimalSetFamily],
    pooled: PooledSet | None,
    graphs: Sequence[InteractionGraph],
    cascades: Sequence[Cascade],
    edges: Sequence[ActivationEdges],
) -> list[Mention]:
    """Every feature that these findings name, the most important first."""
    minimal = _counted(one.features for one in minimal_sets)
    unlimited = _counted(one.features for one in unlimited_sets)
    text = _counted(one.features for one in text_sets)
    family = _counted({f for one in found.sets for f in one.features} for found in families)
    waves = _counted({f for wave in one.waves[1:] for f in wave.features} for one in cascades)
    pairs = _counted((pair.a, pair.b) for graph in graphs for pair in graph.named)
    ends = _counted((one.cause, one.feature) for found in edges for one in found.edges)
    own = set(pooled.features) if pooled is not None else set[FeatureId]()
    counts = (minimal, unlimited, text, family, waves, pairs, ends)
    named = own.union(*counts, *(one.waves[0].features for one in cascades))
    found = [
        Mention(
            feature=feature,
            n_minimal=minimal[feature],
            in_pooled=feature in own,
            n_text=text[feature],
            n_families=family[feature],
            n_waves=waves[feature],
            n_pairs=pairs[feature],
            n_edges=ends[feature],
            n_unlimited=unlimited[feature],
        )
        for feature in named
    ]
    return sorted(found, key=lambda one: (*(-n for n in one.importance), one.feature))


def _counted(groups: Iterable[Iterable[FeatureId]]) -> Counter[FeatureId]:
    return Counter(feature for group in groups for feature in group)
