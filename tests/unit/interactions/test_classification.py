"""Refused or complied as a yes or no: AUROC with its interval, beside a model without pairs."""

import numpy as np
import pytest

from sae_audit.findings import PairInteraction, PairKind
from sae_audit.interactions.classification import classifier_fits
from sae_audit.interactions.masks import held_out_rows
from tests.games import features

PLAYERS = features(8)
N_MASKS = 240


def pair(i: int, j: int, weight: float) -> PairInteraction:
    kind = PairKind.REDUNDANT if weight < 0.0 else PairKind.SHARED_PATH
    return PairInteraction(
        a=PLAYERS[i],
        b=PLAYERS[j],
        weight=weight,
        low=weight - 0.1,
        high=weight + 0.1,
        kind=kind,
        lasso=weight,
        beyond_curve=weight,
        curve_low=-0.1,
        curve_high=0.1,
    )


def masks() -> np.ndarray:
    return np.random.default_rng(0).random((N_MASKS, len(PLAYERS))) < 0.5


def test_only_pairs_tell_an_exclusive_or():
    """Refused where one of two is ablated: each alone says nothing."""
    drawn, apart = masks(), held_out_rows(N_MASKS, 0)
    scores = np.where(drawn[:, 0] ^ drawn[:, 1], 1.0, -1.0)
    named = (pair(0, 1, -8.0), pair(2, 3, 0.5))
    main, logistic, machine = classifier_fits(drawn, scores, apart, PLAYERS, named, seed=0)
    assert main.classifier == "logistic_main"
    assert main.sign_agreement is None
    assert main.auroc_held_out.low < 0.5 < main.auroc_held_out.high
    for one in (logistic, machine):
        assert one.auroc_held_out.low > 0.8 > main.auroc_held_out.high
        assert one.sign_agreement is not None
        assert one.sign_agreement.n == 2
    assert (main.n_refused, main.n_complied) == (
        int((scores[apart] > 0).sum()),
        int((scores[apart] < 0).sum()),
    )
    assert main.auroc_held_out.n == int(apart.sum())


@pytest.mark.parametrize("flipped", [False, True])
def test_signs_are_counted_with_their_interval(flipped: bool):
    """One pair of one: all or none agree, and one pair shows little."""
    drawn, apart = masks(), held_out_rows(N_MASKS, 0)
    scores = np.where(drawn[:, 0] ^ drawn[:, 1], 1.0, -1.0)
    named = (pair(0, 1, 8.0 if flipped else -8.0),)
    _, logistic, _ = classifier_fits(drawn, scores, apart, PLAYERS, named, seed=0)
    agreement = logistic.sign_agreement
    assert agreement is not None
    assert agreement.value == (0.0 if flipped else 1.0)
    assert agreement.high - agreement.low > 0.7
