"""Tables of waves, edges and the tokens on which features activate."""

from collections.abc import Sequence

import pandas as pd

from sae_audit.findings import ActivationEdges, ActivationTokens, Cascade, CascadeNull

_WAVE_COLUMNS = ["prompt_id", "wave", "features", "score_after", "n_activated"]
_CASCADE_COLUMNS = [
    *("prompt_id", "first_wave", "depth", "clean_score", "score_first", "score_last"),
    *("total_effect", "direct_effect", "direct_effect_frozen", "compensation_ratio", "stop"),
]


def waves(own: Sequence[Cascade]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "prompt_id": found.prompt_id,
                "wave": number,
                "features": " ".join(map(str, wave.features)),
                "score_after": wave.score_after,
                "n_activated": wave.n_activated,
            }
            for found in own
            for number, wave in enumerate(found.waves, start=1)
        ],
        columns=_WAVE_COLUMNS,
    )


def cascades(followed: Sequence[Cascade], null: Sequence[CascadeNull]) -> pd.DataFrame:
    """One row per cascade, and one for its random set."""
    random = {one.prompt_id: one.cascade for one in null}
    both = (
        (first_wave, found)
        for own in followed
        for first_wave, found in (("minimal_set", own), ("random", random.get(own.prompt_id)))
        if found is not None
    )
    return pd.DataFrame(
        [
            {
                "prompt_id": found.prompt_id,
                "first_wave": first_wave,
                "depth": found.depth,
                "clean_score": found.clean_score,
                "score_first": found.waves[0].score_after,
                "score_last": found.waves[-1].score_after,
                "total_effect": found.effects.total if found.effects else None,
                "direct_effect": found.effects.direct if found.effects else None,
                "direct_effect_frozen": found.effects.direct_frozen if found.effects else None,
                "compensation_ratio": found.compensation_ratio,
                "stop": found.stop,
            }
            for first_wave, found in both
        ],
        columns=_CASCADE_COLUMNS,
    )


def activation_edges(tested: Sequence[ActivationEdges]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "prompt_id": found.prompt_id,
                "cause": str(edge.cause),
                "feature": str(edge.feature),
                "kind": edge.kind.value,
                "activation": edge.activation,
                "activation_kept": edge.activation_kept,
                "activation_alone": edge.activation_alone,
                "activation_held": edge.activation_held,
                "through": " ".join(map(str, edge.through)),
                "n_controls": edge.n_controls,
                "n_controls_activating": edge.n_controls_activating,
            }
            for found in tested
            for edge in found.edges
        ]
    )


def activation_tokens(followed: Sequence[ActivationTokens]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "prompt_id": found.prompt_id,
                "n_waves": active.n_waves,
                "token": token.value,
                "n_tokens": found.tokens[token],
                "n_features": active.peaks_at[token],
                "n_activations": active.fires_at[token],
                "n_features_clean": found.clean_peaks_at[token],
                "n_activations_clean": found.clean_fires_at[token],
                "n_features_random": active.random_peaks_at[token],
                "n_random_sets": len(active.n_random),
            }
            for found in followed
            for active in found.active
            for token in active.peaks_at
        ]
    )
