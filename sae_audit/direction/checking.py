"""Effects of the chosen direction on audit prompts, which had no part in choosing it, and its stability.

1. Bypass, induce and KL per audit prompt, with intervals over prompts.
2. The same for random directions of the same norm.
3. Cosine of the direction with itself made again from resampled training prompts; the same for
   directions made with permuted labels.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from sklearn.covariance import ledoit_wolf_shrinkage

from sae_audit.direction.finding import share_removed
from sae_audit.findings import Controlled, DirectionCheck, Estimate, RandomRange
from sae_audit.margins import answers, refuses
from sae_audit.statistics import mean, random_range, share
from sae_audit.vocabulary import EffectOnEach, PromptEffects

_RESAMPLES = 1000
_ROUNDING = 1e-5
"""Share of a coordinate's mean; a smaller spread may be float32 rounding."""

Residuals = Float[np.ndarray, "_ d_model"]
"""Residual stream of prompts of one label."""


def random_directions(
    direction: Float[np.ndarray, " d_model"],
    harmful: Residuals,
    harmless: Residuals,
    *,
    n: int,
    seed: int | tuple[int, ...],
) -> Float[np.ndarray, "direction d_model"]:
    """Random directions of the same norm, at right angles, with the covariance within a label.

    Such a draw resembles a difference of means between two arbitrary groups of prompts of one label. An
    evenly drawn direction would be the wrong control: it lies almost entirely where the residual stream
    does not vary, and the rest removes what is constant in it. The direction is excluded because prompts
    of one label also differ in how strongly they are refused, and a control must not hold what it
    controls for. The covariance is shrunk towards its diagonal by the share of Ledoit and Wolf (2004),
    so that few prompts still span every dimension that varies.
    """
    pooled = np.concatenate([harmful, harmless])
    centred = np.concatenate([own - own.mean(axis=0) for own in (harmful, harmless)])
    spread = np.sqrt((centred**2).mean(axis=0))
    # In a large constant, float32 rounding looks like spread.
    spread = np.where(spread > _ROUNDING * np.abs(pooled.mean(axis=0)), spread, 0.0)
    assert (spread > 0.0).any(), "the residuals do not vary within a label"
    scaled = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0.0)
    alone = float(ledoit_wolf_shrinkage(scaled[:, spread > 0.0], assume_centered=True))
    draws, n_cases = np.random.default_rng(seed), len(scaled)
    drawn = np.sqrt((1.0 - alone) / n_cases) * draws.normal(size=(n, n_cases)) @ scaled
    drawn = spread * (drawn + np.sqrt(alone) * draws.normal(size=drawn.shape))
    unit = direction / np.linalg.norm(direction)
    drawn -= np.outer(drawn @ unit, unit)
    lengths = np.linalg.norm(drawn, axis=1, keepdims=True)
    assert (lengths > 0.0).all(), "the residuals vary along nothing but the direction"
    return np.linalg.norm(direction) * drawn / lengths


def direction_check(
    direction: Float[np.ndarray, " d_model"],
    randoms: Float[np.ndarray, "direction d_model"],
    effects: EffectOnEach,
    *,
    layer: int,
    clean: tuple[Sequence[float], Sequence[float]],
    train: tuple[Residuals, Residuals],
    seed: int,
    progress: Callable[[int, int], None],
) -> DirectionCheck:
    """Bypass, induce, KL and stability of a direction, each with its control.

    `effects` asks about the harmful and harmless audit prompts, with `clean` scores without
    intervention; `direction` is the difference of means of the `train` residuals.
    """
    own = effects(direction, layer=layer)
    progress(1, len(randoms) + 1)
    others: list[PromptEffects] = []
    for random in randoms:
        others.append(effects(random, layer=layer))
        progress(len(others) + 1, len(randoms) + 1)

    def controlled(
        values: Callable[[PromptEffects], Float[np.ndarray, " prompt"]],
        estimated: Callable[[Float[np.ndarray, " prompt"]], Estimate],
    ) -> Controlled:
        random = random_range([float(values(other).mean()) for other in others])
        return Controlled(own=estimated(values(own)), random=random)

    def mean_of(values: Float[np.ndarray, " prompt"]) -> Estimate:
        return mean(values)

    def share_of(values: Float[np.ndarray, " prompt"]) -> Estimate:
        return share(int(values.sum()), len(values))

    return DirectionCheck(
        clean_harmful=mean(clean[0]),
        clean_harmless=mean(clean[1]),
        bypass=controlled(lambda e: e.bypass, mean_of),
        removed=_removed(np.asarray(clean[0]), own, others),
        flipped=controlled(lambda e: answers(e.bypass).astype(float), share_of),
        induce=controlled(lambda e: e.induce, mean_of),
        induced=controlled(lambda e: refuses(e.induce).astype(float), share_of),
        answered=controlled(lambda e: answers(e.harmless).astype(float), share_of),
        kl=controlled(lambda e: e.kl, lambda values: mean(values, within=(0.0, np.inf))),
        stability=Controlled(
            own=stability(*train, seed=seed),
            random=stability_under_null(*train, n=len(randoms), seed=seed),
        ),
    )


def _removed(
    clean: Float[np.ndarray, " prompt"],
    own: PromptEffects,
    others: Sequence[PromptEffects],
) -> Controlled | None:
    found = share_removed(clean, own.bypass)
    if found is None:
        return None
    return Controlled(
        own=found,
        random=random_range([1.0 - float(o.bypass.mean()) / float(clean.mean()) for o in others]),
    )


def stability(harmful: Residuals, harmless: Residuals, *, seed: int) -> Estimate:
    """Mean cosine of the difference of means with those of prompts resampled within each label.

    Low and high hold the central 95% of the cosines: a range of resamples, not a confidence interval of
    any parameter, since each resample is drawn from the very prompts that it is compared with. (In 256
    noisy dimensions it never held the cosine with the true direction, nor with that of new prompts.) A
    resample without a difference counts as 0. 2602.02132 reports .956 to .990.
    """
    difference = harmful.mean(axis=0) - harmless.mean(axis=0)
    draws = np.random.default_rng(seed)

    def resampled_means(own: Residuals) -> Float[np.ndarray, "draw d_model"]:
        times = draws.multinomial(len(own), np.full(len(own), 1.0 / len(own)), _RESAMPLES)
        return times @ own / len(own)

    again = resampled_means(harmful) - resampled_means(harmless)
    lengths = np.linalg.norm(again, axis=1) * np.linalg.norm(difference)
    cosines = np.divide(
        again @ difference, lengths, out=np.zeros_like(lengths), where=lengths > 0.0
    )
    low, high = np.quantile(cosines, [0.025, 0.975])
    return Estimate(
        value=float(cosines.mean()),
        low=float(low),
        high=float(high),
        n=len(harmful) + len(harmless),
        method="central 95% of resamples",
    )


def stability_under_null(
    harmful: Residuals, harmless: Residuals, *, n: int, seed: int
) -> RandomRange:
    """Stability of differences of means between the same prompts with labels permuted `n` times.

    It is far above 0, because each difference is resampled from the prompts that made it: about .7 if
    the residual stream varies in many dimensions, and more variable if it varies in few.
    """
    pooled, draws = np.concatenate([harmful, harmless]), np.random.default_rng(seed)
    permuted = (draws.permutation(pooled) for _ in range(n))
    return random_range(
        [stability(one[: len(harmful)], one[len(harmful) :], seed=seed).value for one in permuted]
    )
