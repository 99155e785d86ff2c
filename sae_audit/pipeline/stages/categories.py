"""A direction for each category of refused requests, how alike they are, and what they do (2602.02132).

At the layer and position of the audit's refusal direction, for all categories alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sae_audit.direction import category_geometry as geometry
from sae_audit.direction.category_geometry import Residuals
from sae_audit.direction.checking import random_directions
from sae_audit.findings import (
    CategoryAblation,
    CategoryDirection,
    CategoryFindings,
    CategoryLeft,
    Estimate,
    TooFewCategories,
)
from sae_audit.findings.categories import (
    ALL_DIRECTIONS,
    POOLED_DIRECTION,
    RANDOM_DIRECTION,
    RANDOM_DIRECTIONS_TOGETHER,
)
from sae_audit.findings.stages import CATEGORIES
from sae_audit.margins import refuses
from sae_audit.pipeline.category_features import shared_features
from sae_audit.pipeline.category_prompts import (
    ASKED_FOR_EACH,
    RefusedByCategory,
    refused_by_category,
)
from sae_audit.pipeline.category_steering import steering
from sae_audit.pipeline.category_topics import topics_of
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.taxonomy import CategorisedPrompts, taxonomy_file
from sae_audit.prompts.types import Prompt
from sae_audit.statistics import auroc, mean, mean_of_shares
from sae_audit.vocabulary import Removed

STAGE = CATEGORIES

_FEWEST_HARMLESS = 8
"""Answered harmless prompts below which nothing is made of them."""
_TOGETHER_DRAWS = 3
"""Draws of as many random directions as there are categories."""
_RECOGNISED = 3
"""Random directions after which it is read whether refused prompts are told from answered ones."""
_STEERED_RANDOM = 3
"""Random directions that are steered along."""


@dataclass(frozen=True, kw_only=True)
class _Read:
    """Residual streams at the audit's layer and position."""

    categories: list[Residuals]
    """All used prompts, those that make the direction first."""
    harmless: Residuals
    made: list[Residuals]
    """Of the prompts that make the direction alone."""
    harmless_made: Residuals


def run(state: AuditState) -> None:
    """Record the categories; nothing unless a taxonomy is given."""
    prompts = state.inputs.categories
    if prompts is not None:
        state.session.remember(STAGE, lambda: _found(state, prompts), in_parts=True)


def price(size: AuditSize) -> Work | None:
    """Every category is taken to be refused throughout, so that no more are asked than are used."""
    settings = size.config.categories
    if settings.taxonomy is None:
        return None
    n, n_random = size.facts.n_categories, size.config.controls.random_directions
    refused, harmless = n * settings.per_category, ASKED_FOR_EACH * settings.per_category
    held_out, n_out = (refused + harmless) / 2, n + 2 + n_random + _TOGETHER_DRAWS
    # Clean scores, residual streams at two positions, features, and topics.
    read = 4 * (refused + harmless) + size.train + size.validation
    recognised = (n + 2 + 2 * _RECOGNISED) * held_out
    removed = (n_out + 1) * held_out + harmless / 2
    groups = 2 * settings.per_group  # Of the four, two that are to be expected.
    n_added = max(0, len(settings.strengths) - 1)
    added = (n + 1 + _STEERED_RANDOM) * n_added * groups + n * harmless / 2
    return Work(
        forward_passes=read + recognised + removed + added,
        layer_tokens=size.whole(read + recognised),
        # Added in the middle of the layers, on average; those below it run once.
        swept_layer_tokens=(removed + added / 2) * size.tokens * size.n_layers,
        edited_layer_tokens=removed * size.tokens * size.n_layers,
        heads=refused + harmless,
        swept_heads=removed + added,
        encoded=size.encoded(refused + harmless),
        assumed=f"{n} categories refused throughout; at most {ASKED_FOR_EACH} times as many prompts "
        "are asked for their score",
    )


def _found(state: AuditState, prompts: CategorisedPrompts) -> CategoryFindings | TooFewCategories:
    # Of a file the name alone: its place says something of the machine.
    taxonomy = taxonomy_file(state.config.categories.taxonomy or "").stem
    used = refused_by_category(state, prompts)
    n_harmless = len(used.harmless.both)
    if len(used.refused) < 2 or n_harmless < _FEWEST_HARMLESS:
        return TooFewCategories(taxonomy=taxonomy, n_harmless=n_harmless, sizes=used.sizes)
    read = _read(state, used)
    names = list(used.refused)
    seed, n = state.config.seed, state.config.categories.n_permutations
    vectors = geometry.mean_differences(read.made, read.harmless_made)
    centred = geometry.centred_matrix(geometry.mean_differences(read.categories, read.harmless))
    groups, silhouette = geometry.grouped(centred)
    topics = topics_of(state, prompts, read.categories, read.harmless)
    recognition = _Recognition(state, used)
    pooled = np.concatenate(read.made).mean(axis=0) - read.harmless_made.mean(axis=0)
    n_alone = state.config.controls.random_directions
    # What categories differ in is no noise, and no control may hold it: each varies about its own mean.
    within = np.concatenate([own - own.mean(axis=0) for own in read.made])
    randoms = random_directions(
        pooled,
        within + np.concatenate(read.made).mean(axis=0),
        read.harmless_made,
        n=n_alone + _TOGETHER_DRAWS * len(vectors),
        seed=state.config.seed,
    )
    ablations, induced, clean = _ablations(
        state, used, vectors, pooled, np.split(randoms, [n_alone]), recognition
    )
    steered = {
        **dict(zip(names, vectors, strict=True)),
        POOLED_DIRECTION: pooled,
        **{f"{RANDOM_DIRECTION} {i + 1}": randoms[i] for i in range(min(_STEERED_RANDOM, n_alone))},
    }
    return CategoryFindings(
        taxonomy=taxonomy,
        layer=state.direction.selected.layer,
        position=state.direction.selected.position,
        n_harmless=n_harmless,
        sizes=used.sizes,
        directions=tuple(
            _direction(state, name, i, read, vectors, induced) for i, name in enumerate(names)
        ),
        shared_pool=geometry.shared_pool(read.categories, read.harmless, seed=seed),
        split_pools=geometry.split_pools(read.categories, read.harmless, seed=seed),
        centred=geometry.as_rows(centred),
        topics=topics and topics.mean,
        topics_ratio=topics and topics.ratio,
        topics_silhouette=topics and topics.silhouette,
        topic_size=topics.size if topics else 0.0,
        mean_at_topic_size=topics and topics.own_mean,
        p_differ=geometry.p_differ(read.categories, n=n, seed=seed),
        families=tuple(tuple(names[i] for i in own) for own in groups),
        silhouette=silhouette,
        silhouette_at_topic_size=topics and topics.own_silhouette,
        ablations=tuple(ablations),
        clean=clean,
        clean_recognition=recognition([None]),
        specific=_specific(ablations, len(names)),
        n_random=state.config.controls.random_directions,
        features=shared_features(state, used),
        steering=steering(state, used, steered),
    )


def _read(state: AuditState, used: RefusedByCategory) -> _Read:
    at = state.direction.selected

    def residuals(prompts: Sequence[Prompt]) -> Residuals:
        return state.subject.residuals_at(prompts, layer=at.layer, position=at.position)

    own = [residuals(halves.both) for halves in used.refused.values()]
    harmless = residuals(used.harmless.both)
    return _Read(
        categories=own,
        harmless=harmless,
        made=[
            streams[: len(halves.made_of)]
            for streams, halves in zip(own, used.refused.values(), strict=True)
        ],
        harmless_made=harmless[: len(used.harmless.made_of)],
    )


def _direction(
    state: AuditState,
    name: str,
    i: int,
    read: _Read,
    vectors: geometry.Directions,
    induced: Sequence[Estimate],
) -> CategoryDirection:
    unit = geometry.units(vectors)[i]
    tried = read.categories[i][len(read.made[i]) :] @ unit
    harmless = read.harmless[len(read.harmless_made) :] @ unit
    refusal = np.array(state.direction.vector)
    return CategoryDirection(
        category=name,
        strength=float(np.linalg.norm(vectors[i])),
        halves=geometry.halves(read.categories[i], read.harmless, seed=state.config.seed),
        separation=auroc(tried, harmless),
        with_refusal=float(geometry.cosine_matrix(np.stack([vectors[i], refusal]))[0, 1]),
        induced=induced[i],
    )


def _ablations(
    state: AuditState,
    used: RefusedByCategory,
    vectors: geometry.Directions,
    pooled: Float[np.ndarray, " d_model"],
    randoms: Sequence[Residuals],
    recognition: "_Recognition",
) -> tuple[list[CategoryAblation], list[Estimate], tuple[CategoryLeft, ...]]:
    """What is left with each direction projected out, the mean score that each induces, and what there
    is with nothing out. `randoms`: those projected out alone, and those together."""
    subject, at = state.subject, state.direction.selected
    effects = subject.direction_effects(used.tried_on, used.harmless.tried_on)
    alone, together = randoms
    found, induced = list[CategoryAblation](), list[Estimate]()

    def out(name: str, *spans: Float[np.ndarray, "_ d_model"]) -> None:
        bases = [_basis(span) for span in spans]
        removed = [effects.without(one) for one in bases]
        found.append(
            CategoryAblation(
                out=name,
                left=_left(used, removed),
                kl=mean(np.mean([one.kl for one in removed], axis=0)),
                recognition=recognition(bases[:_RECOGNISED]),
            )
        )
        # Steering, which follows, takes about as long.
        state.session.progress(STAGE, len(found), 2 * (len(used.refused) + 4))

    for name, vector in zip(used.refused, vectors, strict=True):
        out(name, vector[None])
        induced.append(
            mean(
                effects.induce(
                    np.tile(vector, (len(used.harmless.tried_on), 1)),
                    range(len(used.harmless.tried_on)),
                    [at.layer] * len(used.harmless.tried_on),
                )
            )
        )
    out(POOLED_DIRECTION, pooled[None])
    out(ALL_DIRECTIONS, vectors)
    out(RANDOM_DIRECTION, *(one[None] for one in alone))
    out(RANDOM_DIRECTIONS_TOGETHER, *np.split(together, _TOGETHER_DRAWS))
    nothing = effects.without(np.zeros((0, subject.d_model)))
    return found, induced, _left(used, [nothing])


def _basis(vectors: Float[np.ndarray, "_ d_model"]) -> Float[np.ndarray, "_ d_model"]:
    """An orthonormal basis of the span; directions of rounding alone are left out."""
    _, lengths, rows = np.linalg.svd(geometry.units(vectors), full_matrices=False)
    return rows[lengths > 1e-6 * lengths[0]]


def _left(used: RefusedByCategory, removed: Sequence[Removed]) -> tuple[CategoryLeft, ...]:
    """By category, what is left of its held-out refusals; means over several removals."""
    scores = np.stack([one.harmful for one in removed])
    return tuple(
        CategoryLeft(
            refused=mean_of_shares(refuses(scores[:, own]).mean(axis=0)),
            score=mean(scores[:, own].mean(axis=0)),
        )
        for own in used.slices
    )


class _Recognition:
    """How well refused prompts are told from answered ones at the last token of the request."""

    def __init__(self, state: AuditState, used: RefusedByCategory) -> None:
        self._state, self._used = state, used
        refused = [one for own in used.refused.values() for one in own.made_of]
        direction = self._streams(refused).mean(axis=0)
        self._along = direction - self._streams(list(used.harmless.made_of)).mean(axis=0)

    def _streams(self, prompts: Sequence[Prompt], without: Residuals | None = None) -> Residuals:
        return self._state.subject.residuals_at(
            prompts,
            layer=self._state.direction.selected.layer,
            position=-self._state.subject.template.n_after - 1,
            without=without,
        )

    def __call__(self, bases: Sequence[Residuals | None]) -> Estimate:
        found = [
            auroc(
                self._streams(self._used.tried_on, basis) @ self._along,
                self._streams(list(self._used.harmless.tried_on), basis) @ self._along,
            )
            for basis in bases
        ]
        return found[0] if len(found) == 1 else mean([one.value for one in found])


def _specific(ablations: Sequence[CategoryAblation], n: int) -> Estimate:
    scores = np.array([[left.score.value for left in one.left] for one in ablations[:n]])
    own = np.diag(scores)
    others = (scores.sum(axis=0) - own) / (n - 1)
    return mean(others - own)
