"""What makes the instrument fast: passes it does not make, and memory it does not take."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from sae_audit.errors import AuditError, AuditIncompleteError
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.subject.model.hooks import Resid, edited
from sae_audit.vocabulary import Ablation, ErrorTerm, FeatureId, FeatureSet, Positions
from tests import tiny

PROMPT = Prompt(id="p", text="please tell me how to build a bomb", label=Label.HARMFUL)
EVERYTHING = frozenset(FeatureId(layer, i) for layer in range(3) for i in range(tiny.D_SAE))


@pytest.fixture
def fresh() -> Subject:
    """A subject that has answered nothing yet; four features never fire, others not everywhere."""
    saes = [tiny.sae("jumprelu", layer) for layer in range(tiny.N_LAYERS)]
    for sae in saes:
        with torch.no_grad():
            sae.threshold.add_(1.2)
            sae.threshold[:4] = 1e6
    return tiny.subject_in_memory("gemma2", saes)


@pytest.fixture
def firing(fresh: Subject) -> set[FeatureId]:
    return set(fresh.active(PROMPT)([frozenset()])[0])


def passes(subject: Subject, sets: list[FeatureSet], ablation: Ablation | None = None) -> int:
    """Passes that these sets cost, the prompt's clean pass apart."""
    score = subject.refusal_score(PROMPT, ablation or Ablation())
    score([frozenset()])
    before = subject.cost
    score(sets)
    return subject.cost.since(before).forward_passes


class TestShortcuts:
    """Exact, because they follow from what an ablation is."""

    def test_answers_already_known_are_not_asked_again(
        self, fresh: Subject, firing: set[FeatureId]
    ):
        sets = [frozenset([feature]) for feature in sorted(firing) if feature.layer == 0]
        score = fresh.refusal_score(PROMPT)
        first = score(sets)
        before = fresh.cost
        assert score(sets).tolist() == first.tolist()
        assert fresh.cost.since(before).forward_passes == 0

    def test_the_clean_pass_is_made_once(self, fresh: Subject):
        before = fresh.cost
        fresh.refusal_score(PROMPT)([frozenset()])
        fresh.refusal_score(PROMPT, Ablation(clamp=-1.0))([frozenset()])
        fresh.attribution(PROMPT)
        # One clean pass for all, and one backward pass.
        assert fresh.cost.since(before).forward_passes == 2
        fresh.forget_clean_runs()
        fresh.refusal_score(PROMPT)([frozenset()])
        assert fresh.cost.since(before).forward_passes == 3

    def test_a_set_that_nothing_fires_of_is_the_clean_score(
        self, fresh: Subject, firing: set[FeatureId]
    ):
        silent = EVERYTHING - firing
        assert len(silent) > 12
        assert passes(fresh, [frozenset([feature]) for feature in silent]) == 0
        assert passes(fresh, [silent]) == 0
        assert fresh.refusal_score(PROMPT)([silent])[0] == fresh.clean_scores([PROMPT])[0]

    def test_sets_that_differ_only_in_features_that_cannot_fire_are_one(
        self, fresh: Subject, firing: set[FeatureId]
    ):
        first = min(firing)
        sets = [frozenset([first, FeatureId(2, i)]) for i in range(4)]
        assert passes(fresh, sets) == 1

    def test_a_feature_that_wakes_when_another_is_ablated_is_ablated_too(self, fresh: Subject):
        """It does not fire on the clean run, and a shortcut that looked only there would be wrong."""
        active = fresh.active(PROMPT)
        clean = active([frozenset()])[0]
        ablated = frozenset(feature for feature in clean if feature.layer == 0)
        activated = set(active([ablated])[0]) - set(clean)
        assert activated, "the test needs a dormant feature"
        both = ablated | activated
        score = fresh.refusal_score(PROMPT)([ablated, both])
        np.testing.assert_allclose(score, fresh.reference_score(PROMPT)([ablated, both]), atol=1e-4)
        assert abs(score[1] - score[0]) > 1e-4

    def test_a_clamp_other_than_zero_moves_features_that_do_not_fire(self, fresh: Subject):
        silent = frozenset([FeatureId(0, 0)])
        assert passes(fresh, [silent], Ablation(clamp=1.0)) == 1

    def test_positions_before_the_first_change_are_not_run(
        self, fresh: Subject, firing: set[FeatureId]
    ):
        features = frozenset(feature for feature in firing if feature.layer == 0)
        changes = fresh.first_changes(PROMPT, features, Ablation(positions=Positions.TEMPLATE))
        length = len(fresh.template.tokens(PROMPT.text))
        first = min(at for at in changes.values() if at is not None)
        assert first >= length - fresh.template.n_after
        score = fresh.refusal_score(PROMPT, Ablation(positions=Positions.TEMPLATE))
        score([frozenset()])
        before = fresh.cost
        score([features])
        assert fresh.cost.since(before).tokens == length - first

    def test_layers_are_run_once_for_all_sets_that_agree_so_far(
        self, fresh: Subject, firing: set[FeatureId]
    ):
        """Sets that differ in the last layer alone go through the one before it as one row."""
        shared = frozenset(feature for feature in firing if feature.layer == 0)
        own = [feature for feature in sorted(firing) if feature.layer == 2]
        rows: dict[int, int] = {}
        layers = [own.layer for own in fresh._passes.layer_modules]

        def note(layer: int, resid: Resid) -> Resid:
            rows[layer] = resid.shape[0]
            return resid

        outputs = {layers[i]: lambda resid, i=i: note(i, resid) for i in range(3)}
        score = fresh.refusal_score(PROMPT)
        score([frozenset()])
        with edited(outputs=outputs):
            score([shared | {feature} for feature in own])
        assert rows == {1: 1, 2: 1}
        assert len(own) > 2


class TestMemory:
    @contextmanager
    def small(self, subject: Subject, most_rows: int) -> Iterator[list[int]]:
        """Any batch of more rows than this runs out of memory; yields the sizes that went through."""
        sizes: list[int] = []

        def limited(resid: Resid) -> Resid:
            if resid.shape[0] > most_rows:
                raise torch.OutOfMemoryError("CUDA out of memory")
            sizes.append(resid.shape[0])
            return resid

        with edited(outputs={subject._passes.layer_modules[1].layer: limited}):
            yield sizes

    def test_batches_are_halved_until_they_fit(self, fresh: Subject, firing: set[FeatureId]):
        sets = [frozenset([feature]) for feature in sorted(firing) if feature.layer == 0]
        expected = fresh.refusal_score(PROMPT)(sets)
        assert len(sets) > 4
        with self.small(fresh, most_rows=2) as sizes:
            given = fresh.refusal_score(PROMPT)(sets)
        np.testing.assert_allclose(given, expected, atol=1e-5)
        assert max(sizes) <= 2

    def test_a_single_row_that_does_not_fit_says_what_to_do(
        self, fresh: Subject, firing: set[FeatureId]
    ):
        one = frozenset([min(firing)])
        fresh.clean_scores([PROMPT])
        fresh.refusal_score(PROMPT)([frozenset()])
        with (
            self.small(fresh, most_rows=0),
            pytest.raises(
                AuditIncompleteError, match="Memory does not suffice for a single prompt"
            ),
        ):
            fresh.refusal_score(PROMPT)([one])

    def test_other_errors_are_not_taken_for_lack_of_memory(
        self, fresh: Subject, firing: set[FeatureId]
    ):
        def broken(_: Resid) -> Resid:
            raise RuntimeError("shapes do not match")

        fresh.refusal_score(PROMPT)([frozenset()])
        with (
            edited(outputs={fresh._passes.layer_modules[1].layer: broken}),
            pytest.raises(RuntimeError, match="shapes do not match"),
        ):
            fresh.refusal_score(PROMPT)([frozenset([min(firing)])])

    def test_a_batch_never_holds_more_tokens_than_the_budget(self):
        saes = [tiny.sae("standard", layer) for layer in range(tiny.N_LAYERS)]
        subject = tiny.subject_in_memory("llama", saes, tokens_per_batch=70)
        random = np.random.default_rng(0)
        pool = sorted(EVERYTHING)
        sets = [
            frozenset(pool[i] for i in random.choice(len(pool), 6, replace=False))
            for _ in range(300)
        ]
        tokens: list[int] = []

        def note(resid: Resid) -> Resid:
            tokens.append(resid.shape[0] * resid.shape[1])
            return resid

        score = subject.refusal_score(PROMPT)
        score([frozenset()])
        with edited(outputs={subject._passes.layer_modules[1].layer: note}):
            score(sets)
        assert len(tokens) > 50
        assert max(tokens) <= 70


def test_answers_are_forgotten_when_they_grow_too_many(fresh: Subject, firing: set[FeatureId]):
    """However many sets are asked, no more than these are kept; all are answered."""
    from sae_audit.subject.intervention.scoring import Scorer, margins

    ids = fresh.template.tokens(PROMPT.text)
    scorer = Scorer(
        fresh._sweeper(Ablation(), frozenset()),
        fresh._runs,
        fresh._passes.budget,
        margins(fresh.readout),
        fresh._beginnings,
        kept_answers=3,
    )
    sets = [frozenset([feature]) for feature in sorted(firing)]
    everywhere = torch.ones(len(ids), dtype=torch.bool)
    given = scorer.ask([ids], [everywhere], [(0, ablated) for ablated in sets])
    np.testing.assert_allclose(given[:, 0], fresh.refusal_score(PROMPT)(sets), atol=1e-5)
    assert len(scorer._known) == 3
    assert len(sets) > 10


def test_clean_runs_are_dropped_when_they_grow_too_large(fresh: Subject):
    from sae_audit.subject.model.clean_run import CleanRuns

    runs = CleanRuns(fresh._stack.clean_run, fresh._stack.check, lambda _: None, kept_bytes=1)
    ids = [fresh.template.tokens(text) for text in ("bomb", "steal a car")]
    first = runs.of(ids[0])
    assert runs.of(ids[0]) is first
    runs.of(ids[1])
    assert runs.of(ids[0]) is not first


def test_what_fires_under_a_frozen_error_is_read_off_a_clean_run(fresh: Subject):
    """The first question of all, so that the clean run must be made before the ablated pass."""
    ablation = Ablation(error_term=ErrorTerm.FROZEN)
    ablated = frozenset(FeatureId(layer, i) for layer in (0, 1) for i in range(4, 12))
    before = fresh.active(PROMPT, ablation)([ablated])[0]
    fresh.clean_scores([PROMPT])
    assert fresh.active(PROMPT, ablation)([ablated])[0] == before
    assert before != fresh.active(PROMPT)([ablated])[0]


def test_a_model_whose_layers_cannot_be_run_alone_is_refused(fresh: Subject):
    """Caught by comparing with the model's own logits, not taken for an answer."""
    network = fresh.network
    whole = network.model.norm.forward
    network.model.norm.forward = lambda x: whole(x) * (1.0 if x.dim() == 3 else 2.0)
    with pytest.raises(AuditError, match=r"run one by one, give logits that differ"):
        fresh.refusal_score(PROMPT)([frozenset()])
