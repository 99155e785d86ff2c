"""All minimal sets of planted circuits, whose truth was enumerated over every subset."""

from pathlib import Path

import numpy as np
import pytest

from sae_audit.config import AblationScaleSettings, MinimalSettings
from sae_audit.findings import MinimalSet, MinimalSetFamily
from sae_audit.minimal.all_sets import minimal_set_family
from sae_audit.minimal.asking import answered
from sae_audit.minimal.flip_scale import flip_scale
from sae_audit.minimal.search import minimal_set
from sae_audit.organisms.planted.families import FAMILIES, build
from sae_audit.organisms.planted.plant import plant
from sae_audit.organisms.planted.truth import score_of, truth_of
from sae_audit.prompts.sources import read_sources
from sae_audit.prompts.types import Label
from sae_audit.vocabulary import Ablation, FeatureId, Score

SMALL = [
    (family, size)
    for family, made in FAMILIES.items()
    for size in made.sizes[:2]
    if family != "many_pairs"
]
IDLE = [FeatureId(9, i) for i in range(12)]
"""Candidates that do nothing, as most do."""


def searched(
    score: Score, pool: list[FeatureId], budget: int
) -> tuple[MinimalSet, MinimalSetFamily]:
    settings = MinimalSettings(more_sets_budget=budget)
    first, _ = answered(minimal_set("p", [pool], settings), score)
    found, _ = answered(minimal_set_family(first, pool, settings), score)
    return first, found


@pytest.mark.parametrize(("family", "size"), SMALL)
def test_the_list_is_the_truth_and_with_little_budget_a_part_of_it(family: str, size: int):
    circuit = build(family, size, seed=1)
    player_features = {(p.unit, p.part): FeatureId(0, i) for i, p in enumerate(circuit.players)}
    truth = truth_of(circuit, player_features, "llama")
    for category, known in truth.by_category.items():
        score = score_of(circuit, player_features, category)
        pool = sorted([*truth.planted, *IDLE], key=lambda f: (f.index * 7 % 11, f))
        listed = {one.features for one in searched(score, pool, 4096)[1].sets}
        breaking = {one for one in listed if set(one) & set(truth.dense)}
        assert listed - breaking == set(known.minimal_sets)
        assert bool(breaking) == (family == "dense")
        _, little = searched(score, pool, 48)
        some = {one.features for one in little.sets}
        assert some <= listed
        assert not little.complete or some == listed


def test_the_same_through_the_model_and_every_dose_by_plain_hooks(tmp_path: Path):
    """A mechanism of redundant parts in a real checkpoint: all sets are found, and the smallest scale
    of the first flips by the literal reference, and the one before it does not."""
    planted = plant(build("mixed", 3, seed=1), tmp_path / "mixed", architecture="llama")
    subject = planted.subject()
    opened = read_sources([str(planted.prompts)])
    prompt = next(p for one in opened for p in one.prompts if p.label == Label.HARMFUL)
    truth = planted.truth.by_category[prompt.category]
    pool = list(planted.truth.planted)
    first, found = searched(subject.refusal_score(prompt), pool, 512)
    assert {one.features for one in found.sets} == set(truth.minimal_sets)
    assert len(found.sets) == 4
    assert found.complete

    asking = flip_scale(first, frozenset(pool), AblationScaleSettings())
    try:
        asked = next(asking)
        while True:
            scores = [
                subject.refusal_score(prompt, Ablation(scale=one.scale))([one.features])[0]
                for one in asked
            ]
            asked = asking.send(np.array(scores))
    except StopIteration as end:
        scale = end.value
    assert scale.certified
    whole = frozenset(first.features)
    for at, refuses in ((scale.scale, False), (scale.scale_below, True)):
        literal = subject.reference_score(prompt, Ablation(scale=at))([whole])[0]
        assert (literal >= 0.0) == refuses
