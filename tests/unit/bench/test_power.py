"""True claims are found by their strength and the number of prompts."""

from pathlib import Path

import numpy as np
import pytest

from sae_audit.bench import power
from sae_audit.bench.hostile import LOST
from sae_audit.bench.power import Powered, power_rows, powered, powers_of
from sae_audit.findings import ClaimAbout
from sae_audit.organisms.planted import hostile as planted
from sae_audit.organisms.planted.circuit import Circuit, run


def test_power_is_counted_by_mechanism_and_number_of_prompts():
    def pair(seed: int, mechanism: str, found: dict[int, bool]) -> Powered:
        return Powered(claim=LOST, mechanism=mechanism, seed=seed, stands=found)

    rows = powers_of(
        [
            pair(0, "some", {20: False, 40: True}),
            pair(1, "some", {20: False, 40: False}),
            pair(0, "all", {20: True, 40: True}),
        ]
    )
    assert [(r.mechanism, r.n_prompts, r.stands.value, r.stands.n) for r in rows] == [
        ("some", 20, 0.0, 2),
        ("some", 40, 0.5, 2),
        ("all", 20, 1.0, 1),
        ("all", 40, 1.0, 1),
    ]


def test_a_finished_model_is_not_planted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[str, float, int]] = []

    def found(claim: str, strength: float, seed: int) -> dict[int, bool]:
        asked.append((claim, strength, seed))
        return {20: False, 40: strength > 0.2, 100: True}

    monkeypatch.setattr(power, "powered", found)
    first = power_rows(2, tmp_path, lambda *_: None)
    assert len(asked) == len(set(asked)) == len(first) // 3 * 2
    assert power_rows(2, tmp_path, lambda *_: None) == first
    assert len(asked) == len(first) // 3 * 2


def test_every_claim_of_hostile_models_has_its_power():
    assert {str(claim) for claim in power._STRENGTHS} == {
        *("features", "pairs", "backups", "directions_behind", "harm"),
        LOST,
    }


def without(circuit: Circuit, kind: str, *names: str) -> float:
    """The circuit's score of a request of this kind with these units ablated."""
    masks = np.array([[player.unit in names for player in circuit.players]])
    return float(run(circuit, masks, {kind: 1.0}).scores[0])


def test_some_prompts_have_the_mechanism_and_others_the_same_score_without_it():
    pairs = planted.pairs_of_some(3)
    clean = [without(pairs, kind) for kind in (planted.SOME, planted.OTHERS)]
    assert clean == pytest.approx([4.25, 4.25], abs=1e-6)
    assert without(pairs, planted.SOME, "a") == pytest.approx(clean[0]), "b covers for a"
    assert without(pairs, planted.SOME, "a", "b") == pytest.approx(clean[0] - 3.0)
    assert without(pairs, planted.OTHERS, "a", "b") == pytest.approx(clean[1])
    assert without(pairs, planted.OTHERS, "e") == pytest.approx(clean[1] - 1.5)

    backed = planted.backups_of_some(3)
    assert without(backed, planted.SOME, "primary") > 0.0, "the backup restores refusal"
    assert without(backed, planted.SOME, "primary", "backup") < 0.0
    assert without(backed, planted.OTHERS, "bare") < 0.0, "nothing restores it"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("claim", "weak", "strong"), [(ClaimAbout.HARM, 0.5, 0.9), (LOST, 0.0, 0.6)]
)
def test_a_strong_mechanism_is_found_and_one_without_strength_is_not(
    claim: str, weak: float, strong: float
):
    assert powered(claim, weak, 0, (20,)) == {20: False}
    assert powered(claim, strong, 0, (20,)) == {20: True}
