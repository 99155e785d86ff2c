"""Sets that a found one is held against: random ones, and heads of rankings of training prompts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sae_audit.candidates.by_attribution import mean_drops
from sae_audit.controls.linear_probe import end_probe_ranking
from sae_audit.controls.removed_norm import RemovedNorms
from sae_audit.controls.rivals import POOLED, Complied, Contest, Measured, curve_sizes, cut_down
from sae_audit.controls.training_rankings import mean_difference_ranking, ranked
from sae_audit.findings import LayerNorms, PooledSet, Rivals
from sae_audit.margins import answers
from sae_audit.pipeline.baseline_sets import BaselineSets
from sae_audit.pipeline.judging import complied
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.sampling import sets_of_equal_norm
from sae_audit.subject import Judge
from sae_audit.vocabulary import FeatureId, FeatureSet

_CURVE_SETS = 3
"""Number of random sets at each size of a curve but the pooled set's own."""
MOST_HARMLESS = 40
"""Number of harmless audit prompts, at most, on which curves state KL."""
N_RANKINGS = 5
"""Number of rivals that rank features."""


@dataclass(frozen=True, kw_only=True)
class RivalSets:
    """Sets of the same size as a found one, of all other origins."""

    baselines: BaselineSets
    rankings: Mapping[str, Sequence[FeatureId]]
    """By origin, features, those likeliest to matter first."""
    norms: RemovedNorms
    """Of the refused prompts, in their order."""
    number: Mapping[str, int]
    """Place of each refused prompt among them, by id."""

    def on(self, prompts: Sequence[Prompt]) -> RemovedNorms:
        """Norms that ablations remove from these prompts' streams."""
        return self.norms.of_prompts([self.number[prompt.id] for prompt in prompts])

    def random_norm(
        self, features: FeatureSet, seed: int, prompts: Sequence[Prompt], n_sets: int | None = None
    ) -> list[FeatureSet]:
        """Random sets whose ablation removes as long a vector on these prompts."""
        norms = self.on(prompts)
        return sets_of_equal_norm(
            features,
            norms.alone(),
            norms.removed,
            excluded=features.union(self.baselines.candidates),
            n_sets=self.baselines.n_random if n_sets is None else n_sets,
            seed=seed,
        )

    def all(
        self, features: FeatureSet, seed: int, prompts: Sequence[Prompt]
    ) -> dict[str, list[FeatureSet]]:
        """Sets of each origin, as large as `features`; origins with too few features are left out."""
        n = len(features)
        heads = {
            name: [frozenset(order[:n])] for name, order in self.rankings.items() if len(order) >= n
        }
        if not self.baselines.has_others_enough(features):
            return heads
        return {
            "random_matched": self.baselines.random(features, seed),
            "random_norm": self.random_norm(features, seed, prompts),
            **heads,
        }


def rival_sets(state: AuditState, baselines: BaselineSets) -> RivalSets:
    """All rivals, ready for the prompts that are refused; each training prompt is attributed."""
    subject, train = state.subject, state.prompts.train
    read = state.training.features()
    row_norms = subject.row_norms()
    cosines = subject.decoder_cosines(np.array([state.direction.vector]))
    # One gradient a prompt, whatever the searches' own estimates take: a ranking, not a number.
    drops = mean_drops([subject.attribution(one, state.ablation) for one in train.harmful])
    ends = (read.harmful_ends, read.harmless_ends)
    return RivalSets(
        baselines=baselines,
        rankings={
            "linear_probe": read.probe,
            "linear_probe_end": end_probe_ranking(*ends),
            "top_cosine": baselines.candidates,
            "mean_difference": mean_difference_ranking(
                *ends, row_norms, {layer: own[0] for layer, own in cosines.items()}
            ),
            "attribution": ranked(drops),
        },
        norms=RemovedNorms(
            subject.template_activations(state.refused),
            row_norms,
            subject.rows,
            state.ablation.clamp,
        ),
        number={prompt.id: i for i, prompt in enumerate(state.refused)},
    )


def rivals_of(state: AuditState, pooled: PooledSet, rivals: RivalSets) -> Rivals:
    """The pooled set against all rivals, on the prompts it was not built on."""
    own = frozenset(pooled.features)
    held_out = [prompt for prompt in state.refused if prompt.id in pooled.held_out]
    harmless = state.audited.harmless[:MOST_HARMLESS]
    sets = _sets(state, pooled, rivals, held_out)
    effects = _effects(
        state,
        {one for by_size in sets.values() for tried in by_size.values() for one in tried},
        held_out,
        harmless,
    )
    removal = state.subject.direction_effects(held_out, harmless)
    vector = np.array(state.direction.vector)

    def part(share: float) -> Measured:
        left = removal.partly_without(vector, share)
        return Measured(flips=answers(left.harmful), kl=left.kl)

    contest = Contest(
        sets,
        effects,
        cut_down(part, float(effects[own].kl.mean())),
        size=len(own),
        negligible=state.config.controls.negligible_kl,
        seed=state.config.seed,
    )
    in_text = _complied(state, state.judge, contest.compared, held_out) if state.judge else None
    random = sets.get("random_norm", {}).get(len(own), [])
    return contest.result(
        _layer_norms(rivals.on(held_out), own, random), in_text, level=state.config.evidence.level
    )


def _sets(
    state: AuditState, pooled: PooledSet, rivals: RivalSets, held_out: Sequence[Prompt]
) -> dict[str, dict[int, list[FeatureSet]]]:
    """By origin and size, the sets of each curve."""
    own, seed = frozenset(pooled.features), state.config.seed
    order = _own_order(state, pooled)
    sizes = curve_sizes(len(own))
    found: dict[str, dict[int, list[FeatureSet]]] = {
        name: {n: [frozenset(ranking[:n])] for n in sizes if n <= len(ranking)}
        for name, ranking in {POOLED: order, **rivals.rankings}.items()
    }
    baselines = rivals.baselines
    drawn: dict[str, dict[int, list[FeatureSet]]] = {"random_matched": {}, "random_norm": {}}
    for n, (head,) in found[POOLED].items():
        if baselines.has_others_enough(head):
            n_sets = baselines.n_random if n == len(own) else _CURVE_SETS
            drawn["random_matched"][n] = baselines.random(head, seed)[:n_sets]
            drawn["random_norm"][n] = rivals.random_norm(head, seed, held_out, n_sets)
    return {
        POOLED: found.pop(POOLED),
        **{name: by_size for name, by_size in (drawn | found).items() if by_size},
    }


def sets_of_curves(size: int, n_random: int) -> int:
    """Number of sets that all curves hold, for a pooled set of `size` features."""
    sizes = len(curve_sizes(size))
    return (N_RANKINGS + 1) * sizes + 2 * ((sizes - 1) * min(_CURVE_SETS, n_random) + n_random)


def _own_order(state: AuditState, pooled: PooledSet) -> list[FeatureId]:
    """The pooled set's features, then the others of the building prompts' minimal sets; each by the
    number of sets that hold them."""
    counts = Counter(
        feature
        for found in state.minimal_sets
        if found.prompt_id in pooled.built_on
        for feature in found.features
    )
    others = counts.keys() - set(pooled.features)
    return [
        *sorted(pooled.features, key=lambda f: (-counts[f], f)),
        *sorted(others, key=lambda f: (-counts[f], f)),
    ]


def _effects(
    state: AuditState,
    sets: set[FeatureSet],
    held_out: Sequence[Prompt],
    harmless: Sequence[Prompt],
) -> dict[FeatureSet, Measured]:
    asked = sorted(sets, key=sorted)
    scores = state.refusal_scores()([(prompt, one) for one in asked for prompt in held_out])
    changes = state.subject.harmless_changes(state.ablation)(
        [(prompt, one) for one in asked for prompt in harmless]
    )
    flips = answers(scores).reshape(len(asked), len(held_out))
    kl = changes[:, 0].reshape(len(asked), len(harmless))
    return {one: Measured(flips=flips[i], kl=kl[i]) for i, one in enumerate(asked)}


def _complied(
    state: AuditState, judge: Judge, sets: Sequence[FeatureSet], held_out: Sequence[Prompt]
) -> Complied:
    verdicts = complied(state, judge, [(prompt, one) for one in sets for prompt in held_out])
    numbers = np.array([np.nan if one is None else float(one) for one in verdicts])
    return dict(zip(sets, numbers.reshape(len(sets), len(held_out)), strict=True))


def _layer_norms(
    norms: RemovedNorms, own: FeatureSet, random: Sequence[FeatureSet]
) -> list[LayerNorms]:
    theirs = [norms.by_layer(one) for one in random]
    return [
        LayerNorms(layer=layer, own=norm, random=float(np.mean([one[layer] for one in theirs])))
        for layer, norm in (norms.by_layer(own).items() if random else ())
    ]
