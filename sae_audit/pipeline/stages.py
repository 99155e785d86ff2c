"""The stages of an audit, each a few questions to the subject and one recorded finding."""

from collections.abc import Callable, Mapping, Sequence
from zlib import crc32

import numpy as np
from jaxtyping import Float

from sae_audit.candidates.by_attribution import by_attribution, mean_drops, within_pool
from sae_audit.candidates.by_cosine import by_cosine
from sae_audit.direction.finding import found_direction
from sae_audit.direction.methods import Means
from sae_audit.findings import (
    CandidateSet,
    Direction,
    InteractionGraph,
    InteractionsOverPrompts,
    MinimalSet,
    NoDirection,
    PooledSet,
)
from sae_audit.findings.stages import (
    CANDIDATES,
    DIRECTION,
    INTERACTIONS,
    INTERACTIONS_OVER_PROMPTS,
    MEANS,
    MEANS_BY_GROUP,
    MINIMAL_SETS,
    POOLED,
    POOLED_SET,
    SEARCH_BY_CHANCE,
    OfPrompts,
)
from sae_audit.interactions.fit import interactions
from sae_audit.interactions.over_prompts import over_prompts
from sae_audit.interactions.players import strongest_players
from sae_audit.minimal.asking import Asking
from sae_audit.minimal.pooled import pooled_set
from sae_audit.minimal.search import minimal_set
from sae_audit.pipeline.session import Session
from sae_audit.pipeline.training import Training
from sae_audit.prompts.types import LabelledPrompts, Prompt
from sae_audit.record.folder import write_tensors
from sae_audit.sampling import random_candidates
from sae_audit.vocabulary import FeatureId, FeatureSet

_GROUPS = 10
"""Of training prompts: enough for an interval, and few enough for the record of a large model."""

Pools = Mapping[str, list[FeatureId]]
"""By prompt, the features that a search may choose from, the likeliest first."""


def find_direction(
    session: Session, train: LabelledPrompts, validation: LabelledPrompts
) -> Direction | NoDirection:
    """Stage 1."""

    def compute() -> Direction | NoDirection:
        subject = session.subject
        harmful, harmless = record_means(session, train)
        return found_direction(
            Means(harmful=harmful, harmless=harmless),
            subject.direction_effects(validation.harmful, validation.harmless),
            session.config.direction,
            clean=(
                float(subject.clean_scores(validation.harmful).mean()),
                float(subject.clean_scores(validation.harmless).mean()),
            ),
            n_train=(len(train.harmful), len(train.harmless)),
            n_validation=(len(validation.harmful), len(validation.harmless)),
            progress=lambda done, total: session.progress(DIRECTION, done, total),
        )

    return session.remember(DIRECTION, compute, in_parts=True)


def record_means(
    session: Session, train: LabelledPrompts
) -> tuple[
    Float[np.ndarray, "layer template d_model"], Float[np.ndarray, "layer template d_model"]
]:
    """Mean residuals of harmful and of harmless prompts, written to the run's folder; those of groups
    of them too, from which a comparison tells how sure a difference between two checkpoints is."""
    means: dict[str, np.ndarray] = {}
    by_group: dict[str, np.ndarray] = {}
    for label, prompts in (("harmful", train.harmful), ("harmless", train.harmless)):
        groups = [_group(prompt) for prompt in prompts]
        own = session.subject.group_means(prompts, groups, n_groups=_GROUPS)
        counts = np.bincount(groups, minlength=_GROUPS)
        means[label] = np.tensordot(counts / counts.sum(), own, axes=1)
        by_group |= {label: own.astype(np.float32), f"n_{label}": counts}
    write_tensors(session.folder, MEANS, means)
    write_tensors(session.folder, MEANS_BY_GROUP, by_group)
    return means["harmful"], means["harmless"]


def _group(prompt: Prompt) -> int:
    """Decided by the prompt alone, so that it is in the same group of every checkpoint's means."""
    return crc32(prompt.id.encode()) % _GROUPS


def gather_candidates(
    session: Session, direction: Direction, train: LabelledPrompts
) -> CandidateSet:
    """Stage 2, first step."""
    settings = session.config.candidates

    def compute() -> CandidateSet:
        of_rows = session.subject.decoder_cosines(np.array([direction.vector]))
        cosines = {layer: values[0] for layer, values in of_rows.items()}
        pool = by_cosine(cosines, per_layer=settings.per_layer)
        if settings.method == "cosine":
            return pool
        drops = mean_drops([_attribution(session, prompt) for prompt in train.harmful])
        if settings.method == "attribution":
            return by_attribution(drops, cosines, per_layer=settings.per_layer)
        return within_pool(pool, drops, keep=settings.keep)

    return session.remember(CANDIDATES, compute, key=settings.method)


def _attribution(session: Session, prompt: Prompt) -> dict[int, Float[np.ndarray, " d_sae"]]:
    steps = session.config.attribution_steps
    return session.subject.attribution(prompt, session.ablation, steps=steps)


def find_minimal_sets(
    session: Session, prompts: Sequence[Prompt], pools: Pools
) -> list[MinimalSet]:
    """Stage 2, second step: one certified set per refused prompt, out of its pool."""
    return _searched(session, MINIMAL_SETS, prompts, lambda prompt: pools[prompt.id])


def search_by_chance(
    session: Session, prompts: Sequence[Prompt], pools: Pools, training: Training
) -> list[MinimalSet]:
    """The control of stage 2: the same search for each prompt, among random candidates of its own."""
    places = {prompt.id: place for place, prompt in enumerate(prompts)}

    def drawn(prompt: Prompt) -> list[FeatureId]:
        place = places[prompt.id]
        # The first prompt is charged for the reading, also where a resumed run begins at another.
        read = training.features() if place else training.features_charged()
        return random_candidates(
            pools[prompt.id], read.firing_rates, seed=(session.config.seed, place)
        )

    return _searched(session, SEARCH_BY_CHANCE, prompts, drawn)


def _searched(
    session: Session,
    stage: OfPrompts[MinimalSet],
    prompts: Sequence[Prompt],
    pool_of: Callable[[Prompt], list[FeatureId]],
) -> list[MinimalSet]:
    def begin(prompt: Prompt) -> Asking[MinimalSet]:
        orders = search_orders(session, prompt, {prompt.id: pool_of(prompt)})
        return minimal_set(prompt.id, orders, session.config.minimal)

    return session.remember_together(stage, list(prompts), begin, session.scores)


def search_orders(session: Session, prompt: Prompt, pools: Pools) -> list[list[FeatureId]]:
    """The orders in which a search tries candidates, as the settings ask."""
    pool, asked = pools[prompt.id], session.config.minimal.order
    found = [pool] if asked != "attribution" else []
    if asked != "candidates":
        drops = _attribution(session, prompt)
        found.append(sorted(pool, key=lambda f: -drops[f.layer][f.index]))
    return found


def pool_sets(
    session: Session, prompts: Sequence[Prompt], minimal_sets: Sequence[MinimalSet]
) -> PooledSet | None:
    """Stage 2, last step: one set for half of the prompts, tried on the other half.

    None where no prompt of the building half was flipped, or there is no other half.
    """
    order = np.random.default_rng(session.config.seed).permutation(len(prompts))
    half = (len(prompts) + 1) // 2
    built_on = [prompts[i].id for i in order[:half]]
    held_out = [prompts[i].id for i in order[half:]]
    if not held_out or not any(m.flipped for m in minimal_sets if m.prompt_id in built_on):
        return None
    return session.remember(
        POOLED_SET,
        lambda: pooled_set(
            {prompt.id: session.score_of(prompt) for prompt in prompts},
            minimal_sets,
            built_on=built_on,
            held_out=held_out,
            patience=session.config.minimal.patience,
        ),
    )


def fit_interactions(
    session: Session,
    prompts: Sequence[Prompt],
    candidates: CandidateSet,
    minimal_sets: Sequence[MinimalSet],
    pooled: PooledSet | None,
) -> InteractionsOverPrompts | None:
    """Stage 3: per prompt over its own strongest candidates, pooled over several prompts, and what
    the fits of single prompts say together; None where no prompt was refused."""
    own = {found.prompt_id: frozenset(found.features) for found in minimal_sets}
    graphs = session.remember_each(
        INTERACTIONS,
        list(prompts),
        lambda p: _fit(session, p.id, [p], _with(candidates, own[p.id]), own[p.id]),
    )
    of_pooled = None
    if pooled is not None:
        panel = [p for p in prompts if p.id in pooled.built_on]
        panel = panel[: session.config.interactions.pooled_prompts]
        of_pooled = session.remember_pooled(
            INTERACTIONS,
            lambda: _fit(
                session,
                POOLED,
                panel,
                _with(candidates, frozenset(pooled.features)),
                frozenset(pooled.features),
            ),
        )
    if not graphs:
        return None
    return session.remember(
        INTERACTIONS_OVER_PROMPTS,
        lambda: over_prompts(
            graphs,
            of_pooled,
            n_shuffles=session.config.interactions.n_shuffles,
            seed=session.config.seed,
        ),
    )


def _with(candidates: CandidateSet, features: FeatureSet) -> list[FeatureId]:
    """Candidates and, behind them, what a widened pool brought in."""
    order = ranked(candidates)
    return [*order, *sorted(features.difference(order))]


def _fit(
    session: Session,
    scope: str,
    prompts: Sequence[Prompt],
    candidates: Sequence[FeatureId],
    always: FeatureSet,
) -> InteractionGraph:
    settings = session.config.interactions
    scores = [session.score_of(prompt) for prompt in prompts]

    def mean_score(sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
        return np.mean([score(sets) for score in scores], axis=0)

    players, n_choosing = strongest_players(
        mean_score, candidates, always=always, max_players=settings.max_players
    )
    return interactions(
        mean_score,
        players,
        scope=scope,
        n_masks=settings.n_masks,
        seed=session.config.seed,
        solver=settings.solver,
        n_shuffles=settings.n_shuffles,
        n_prompts=len(prompts),
        n_choosing=n_choosing * len(prompts),
    )


def ranked(candidates: CandidateSet) -> list[FeatureId]:
    """Candidate features, the likeliest first: by estimated effect where there is one, else cosine."""
    order = sorted(
        candidates.candidates,
        key=lambda c: (-(c.cosine if c.attribution is None else c.attribution), c.feature),
    )
    return [candidate.feature for candidate in order]
