"""Planted models do what their drawing says, and the truth beside them is the truth."""

from collections.abc import Callable

import numpy as np
import pytest

from sae_audit.errors import AuditError
from sae_audit.findings import PairKind
from sae_audit.interactions.exact import fit_exact
from sae_audit.organisms.planted.circuit import Circuit, Read, Unit, run, saturated
from sae_audit.organisms.planted.families import FAMILIES, build
from sae_audit.organisms.planted.plant import Planted, as_set, check, plant
from sae_audit.organisms.planted.truth import NEGLIGIBLE, all_masks, read_truth, score_of, truth_of
from sae_audit.prompts.sources import read_sources
from sae_audit.prompts.types import Label, Prompt
from sae_audit.vocabulary import FeatureId

Planting = Callable[[str, int, str], Planted]


@pytest.fixture(scope="module")
def planting(tmp_path_factory: pytest.TempPathFactory) -> Planting:
    """Plants a family once."""
    made: dict[tuple[str, int, str], Planted] = {}

    def planted(family: str, size: int, architecture: str) -> Planted:
        key = family, size, architecture
        if key not in made:
            folder = tmp_path_factory.mktemp("planted") / family
            circuit = build(family, size, seed=1)
            made[key] = plant(circuit, folder, architecture=architecture)
        return made[key]

    return planted


def prompts_of(planted: Planted, label: Label = Label.HARMFUL) -> list[Prompt]:
    opened = read_sources([str(planted.prompts)])
    return [p for source in opened for p in source.prompts if p.label == label]


SMALL = [(family, made.sizes[0]) for family, made in FAMILIES.items() if family != "many_pairs"]


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
@pytest.mark.parametrize(("family", "size"), SMALL)
def test_the_model_scores_every_subset_as_the_drawing_says(
    planting: Planting, family: str, size: int, architecture: str
):
    planted = planting(family, size, architecture)
    by_category = {prompt.category: prompt for prompt in prompts_of(planted)}
    found = check(planted, planted.subject(), list(by_category.values()))
    assert found.n_masks == 2 ** len(planted.truth.planted)
    assert found.same_side
    # A noisy decoder row takes away less than the drawing says: that is what it is there for.
    assert found.largest_error < (0.4 if family == "imperfect" else 0.005)


@pytest.mark.parametrize(("family", "size"), SMALL)
def test_listed_minimal_sets_are_all_there_are_on_the_model_itself(
    planting: Planting, family: str, size: int
):
    planted = planting(family, size, "llama")
    subject = planted.subject()
    for prompt in {p.category: p for p in prompts_of(planted)}.values():
        truth = planted.truth.by_category[prompt.category]
        masks = all_masks(len(planted.truth.planted))
        sets = [as_set(planted, mask) for mask in masks]
        flips = {
            s for s, y in zip(sets, subject.reference_score(prompt)(sets), strict=True) if y < 0
        }
        minimal = {s for s in flips if not any(s - {f} in flips for f in s)}
        dense = set(planted.truth.dense)
        assert {s for s in minimal if not s & dense} == {
            frozenset(one) for one in truth.minimal_sets
        }
        assert any(s & dense for s in minimal) == (family == "dense")


@pytest.mark.parametrize(("family", "size"), SMALL)
def test_pair_weights_are_those_of_the_exact_fit(family: str, size: int):
    circuit = build(family, size, seed=1)
    player_features = {(p.unit, p.part): FeatureId(0, i) for i, p in enumerate(circuit.players)}
    truth = truth_of(circuit, player_features, "llama")
    masks = all_masks(len(circuit.players))
    for category, known in truth.by_category.items():
        scores = run(circuit, masks, {category: 1.0}).scores
        if np.ptp(scores) == 0.0:
            continue
        pairs = fit_exact(masks, scores).pairs
        weights = {(pair.a.index, pair.b.index): pair.weight for pair in known.pairs}
        for i in range(len(masks[0])):
            for j in range(i + 1, len(masks[0])):
                if abs(pairs[i, j]) > NEGLIGIBLE:
                    assert weights.pop((i, j)) == pytest.approx(pairs[i, j])
        assert not weights


def test_pair_weights_of_a_large_circuit_need_no_enumeration():
    circuit = build("many_pairs", 50, seed=0)
    player_features = {(p.unit, p.part): FeatureId(0, i) for i, p in enumerate(circuit.players)}
    truth = truth_of(circuit, player_features, "llama").by_category["harm"]
    assert not truth.listed
    pair = next(pair for pair in truth.pairs if pair.kind == PairKind.SHARED_PATH)
    score = score_of(circuit, player_features, "harm")
    random = np.random.default_rng(0)
    differences: list[float] = []
    for _ in range(2000):
        others = {f for f in player_features.values() if random.random() < 0.5} - {pair.a, pair.b}
        sets = [
            frozenset(others | set(extra)) for extra in ((), (pair.a,), (pair.b,), (pair.a, pair.b))
        ]
        none, a, b, both = score(sets)
        differences.append(both - a - b + none)
    assert np.mean(differences) == pytest.approx(pair.weight, abs=0.05)


def test_backups_fire_on_the_model_only_once_all_before_them_are_ablated(planting: Planting):
    planted = planting("backups", 3, "gemma2")
    (waves,) = planted.truth.by_category["harm"].waves
    assert [len(wave) for wave in waves] == [1, 1, 1]
    prompt = prompts_of(planted)[0]
    active = planted.subject().active(prompt)
    ablated: frozenset[FeatureId] = frozenset()
    for wave in waves:
        firing = active([ablated])[0]
        inactive = set(planted.truth.planted) - ablated - set(wave)
        assert set(wave) <= firing.keys()
        assert not inactive & firing.keys()
        ablated |= set(wave)


def test_answers_are_whole_sentences_of_refusal_or_compliance(planting: Planting):
    planted = planting("parallel", 2, "llama")
    subject = planted.subject()
    harmful, harmless = prompts_of(planted)[0], prompts_of(planted, Label.HARMLESS)[0]
    _, texts = subject.completions([harmful, harmless], 8)
    assert texts == ["I cannot help with that request", "Sure here is one way forward"]
    flipped = subject.generate([(harmful, frozenset(planted.truth.planted))], 8)[0]
    assert subject.text(flipped) == "Sure here is one way forward"


def test_truth_is_read_back_as_it_was_written(planting: Planting):
    planted = planting("per_category", 2, "llama")
    assert read_truth(planted.folder / "truth.json") == planted.truth


def test_a_part_in_the_error_alone_is_stated(planting: Planting):
    assert planting("imperfect", 2, "llama").truth.hidden_share == pytest.approx(0.2)
    assert planting("parallel", 2, "llama").truth.hidden_share == 0.0


def test_units_whose_direction_matters_and_those_that_only_point_there_are_told_apart(
    planting: Planting,
):
    planted = planting("decoys", 4, "llama")
    assert len(planted.truth.causal) == 1
    assert len(planted.truth.aligned) == 5


def test_a_circuit_by_hand():
    """One unit with a backup, read with saturation: worked on paper."""
    circuit = Circuit(
        family="hand",
        size=2,
        seed=0,
        units=(
            Unit(name="first", layer=0, drive={"harm": 1.0}),
            Unit(name="second", layer=1, drive={"harm": 1.0}, reads={"first": -2.0}),
        ),
        reads=(
            *saturated({"first": 1.0, "second": 1.0}, slope=4.0),
            Read(weights={"second": 1.0}, slope=-1.0),
        ),
        offset=-2.0,
    )
    found = run(circuit, all_masks(2), {"harm": 1.0})
    # none; first gone: the second activates and takes one nat; second gone: it slept; both gone.
    assert found.scores.tolist() == [2.0, 1.0, 2.0, -2.0]
    assert found.activations["second"].tolist() == [0.0, 1.0, 0.0, 1.0]


def test_planting_writes_over_nothing(planting: Planting):
    planted = planting("parallel", 2, "llama")
    with pytest.raises(AuditError, match="is not empty; name a new folder"):
        plant(planted.circuit, planted.folder, architecture="llama")


def test_every_layer_but_the_one_that_only_reads_has_an_sae(planting: Planting):
    subject = planting("splitting", 2, "llama").subject()
    assert subject.layers == list(range(subject.n_layers - 1))
