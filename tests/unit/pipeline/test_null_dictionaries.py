"""The claim about features stands for no dictionary that knows nothing of the model."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from sae_audit.config import AuditConfig, MinimalSettings, NullSaesSettings
from sae_audit.controls.dictionary_null import against_dictionaries, does_as_well, own_sets
from sae_audit.findings import DictionaryNull, NullKind, SearchedSet, TextSet
from sae_audit.findings.stages import (
    DICTIONARY_NULL,
    MINIMAL_SETS,
    NULL_DICTIONARIES,
    UNLIMITED_SETS,
)
from sae_audit.minimal.limited import Limits
from sae_audit.organisms.planted.families import build
from sae_audit.organisms.planted.plant import audit_settings, plant
from sae_audit.pipeline.null_dictionary_search import searched_sets
from sae_audit.pipeline.running import unpublished
from sae_audit.pipeline.side_effects import HarmlessChanges
from sae_audit.pipeline.stages import (
    candidate_effects,
    candidates,
    dictionary_null,
    direction,
    minimal_sets,
    null_dictionaries,
    scores,
    set_effects,
    unlimited_sets,
    widening,
)
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.subject.saes.null_dictionary import null_suite
from sae_audit.subject.saes.sae import Sae
from sae_audit.vocabulary import FeatureId, FeatureSet
from tests.games import features, game
from tests.unit.controls.test_dictionary_null import searched as searched_set
from tests.unit.minimal.test_limited import limits_of

_SEARCH = (candidates, widening, candidate_effects, unlimited_sets, set_effects, minimal_sets)
_N = 3


def _config(
    folder: Path, family: str = "parallel", size: int = 3, **evidence: object
) -> AuditConfig:
    planted = plant(build(family, size, seed=1), folder / "planted", architecture="llama")
    settings = audit_settings(planted)
    settings["prompts"] |= {"train": 8, "validation": 8, "audit": 5}
    settings["evidence"] = {"null_dictionaries": _N, "null_prompts": 5, **evidence}
    settings["side_effects"] = {"prompts": 8}
    return AuditConfig.model_validate(settings)


def compared(folder: Path, audited: NullKind) -> tuple[DictionaryNull | None, int]:
    """The comparison, and the number of prompts flipped, of a planted model through a dictionary of this
    kind in place of its own SAEs."""
    with unpublished(_config(folder), folder / "run") as state:
        scores.run(state)
        direction.run(state)
        r = np.array(state.direction.vector)
        suite = null_suite(state.subject.suite, audited, r, seed=(99,))
        through_null = state.with_saes(suite)
        for stage in (*_SEARCH, null_dictionaries, dictionary_null):
            stage.run(through_null)
        flipped = sum(one.flipped for one in state.session.found_each(MINIMAL_SETS))
        return state.session.if_found(DICTIONARY_NULL), flipped


@pytest.mark.parametrize("kl_limit", [0.1, 1e-6])
def test_ended_searches_give_bounds_and_the_same_decision(tmp_path: Path, kl_limit: float):
    """Of the model's own SAEs in the place of a null, which do as well, and of nulls, which do not.

    A flip takes one of the model's own features, within the limits or beyond them.
    """
    config = _config(tmp_path, "single_bottleneck", 3)
    strict = config.side_effects.model_copy(update={"kl_limit": kl_limit})
    config = config.model_copy(update={"side_effects": strict})
    with unpublished(config, tmp_path / "run") as state:
        for stage in (scores, direction, *_SEARCH):
            stage.run(state)
        prompts = state.refused[:5]
        ids = [prompt.id for prompt in prompts]
        own = own_sets(state.minimal_sets, state.session.found_each(UNLIMITED_SETS), ids, None)
        r = np.array(state.direction.vector)
        n_ended = n_as_good = 0
        for number, kind in enumerate([None, *(kind for kind in NullKind if kind.drawn)]):
            suite = state.subject.suite
            if kind is not None:
                suite = null_suite(suite, kind, r, seed=(5,))
            null = state.with_saes(suite)
            bounds, exact = (
                searched_sets(
                    null, prompts, own, number=number, to_the_end=to_the_end, complied=None
                )
                for to_the_end in (False, True)
            )
            assert all(one.exact for one in exact)
            assert all(a.size <= b.size for a, b in zip(bounds, exact, strict=True))
            assert does_as_well(own, bounds) == does_as_well(own, exact), kind
            n_ended += not all(one.exact for one in bounds)
            n_as_good += does_as_well(own, exact)
        assert n_ended, "no search was ended"
        assert n_as_good, "not even the real SAEs do as well as themselves"


def test_clean_runs_are_made_once_and_charged_for_each_dictionary(subject: Subject):
    prompt = Prompt(id="p", text="hello", label=Label.HARMFUL)
    subject.forget_clean_runs()
    before = subject.cost
    subject.refusal_score(prompt)([frozenset()])
    alone = subject.cost.since(before).forward_passes
    other = subject.with_saes(subject.suite)
    before = subject.cost
    other.refusal_score(prompt)([frozenset()])
    assert subject.cost.since(before).forward_passes == alone == 1
    ids = subject._interventions.ids(prompt)
    assert other._runs.of(ids).resid is subject._runs.of(ids).resid
    assert other._runs.of(ids).fired is not subject._runs.of(ids).fired


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in NullKind if kind.about_features and kind.drawn])
def test_a_dictionary_that_knows_nothing_beats_none(tmp_path: Path, kind: NullKind):
    """It flips nothing, or needs as many features as the next one drawn."""
    found, flipped = compared(tmp_path, kind)
    assert found is None or not found.stands, found.reason
    assert (found is None) == (flipped == 0)


def test_the_audited_saes_named_as_null_fell_the_claim(tmp_path: Path):
    """They do as well as themselves; those of other layers of this model flip nothing."""
    config = _config(tmp_path, null_dictionaries=0)
    named = (NullSaesSettings(saes=config.saes), NullSaesSettings(saes="other_layers"))
    evidence = config.evidence.model_copy(update={"null_saes": named})
    config = config.model_copy(update={"evidence": evidence})
    with unpublished(config, tmp_path / "run") as state:
        for stage in (scores, direction, *_SEARCH, null_dictionaries, dictionary_null):
            stage.run(state)
        itself, shifted = state.session.found_each(NULL_DICTIONARIES)
        assert (itself.name, shifted.name) == (config.saes, "other_layers")
        own = own_sets(
            state.minimal_sets,
            state.session.found_each(UNLIMITED_SETS),
            [one.prompt_id for one in itself.sets],
            None,
        )
        assert [one.size for one in itself.sets] == [one.size for one in own]
        assert all(one.size > one.n_candidates for one in shifted.sets)
        found = state.session.if_found(DICTIONARY_NULL)
        assert found is not None
        (kind,) = found.kinds
        assert (kind.n, kind.n_as_good, kind.smallest_p) == (2, 1, 1 / 3)
        assert not found.stands
        alone = against_dictionaries(own, [shifted], n_asked=0, one_ends=True, in_text=False)
        assert alone.stands
        assert "no p below 0.5 is possible" in alone.reason


class TestFlipsInText:
    """The model's own SAEs in the place of a null, before judges whose verdicts are known."""

    @pytest.fixture(scope="class")
    def state(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditState]:
        folder = tmp_path_factory.mktemp("texts")
        with unpublished(_config(folder), folder / "run") as state:
            for stage in (scores, direction, *_SEARCH):
                stage.run(state)
            yield state

    def own(self, state: AuditState, n_in_text: int) -> list[SearchedSet]:
        """The real sets; a flip in text takes so many features, or there is none."""
        prompts = state.refused[:5]
        said = [
            TextSet.example(prompt_id=one.id, features=tuple(state.pools[one.id][:n_in_text]))
            for one in prompts
        ]
        unlimited = state.session.found_each(UNLIMITED_SETS)
        return own_sets(state.minimal_sets, unlimited, [one.id for one in prompts], said)

    def searched(
        self,
        state: AuditState,
        own: list[SearchedSet],
        judge: Callable[[FeatureSet], bool | None],
        suite: dict[int, Sae] | None = None,
    ) -> tuple[tuple[SearchedSet, ...], list[str]]:
        """The sets found, and the prompts whose answers were judged."""
        asked: list[str] = []

        def complied(questions: Sequence[tuple[Prompt, FeatureSet]]) -> list[bool | None]:
            asked.extend(prompt.id for prompt, _ in questions)
            return [judge(features) for _, features in questions]

        null = state if suite is None else state.with_saes(suite)
        prompts = state.refused[:5]
        found = searched_sets(null, prompts, own, number=0, to_the_end=False, complied=complied)
        return found, asked

    def test_an_answer_that_complies_at_once_is_read_once(self, state: AuditState):
        own = self.own(state, 1)
        found, asked = self.searched(state, own, lambda _: True)
        assert does_as_well(own, found)
        assert asked == [one.id for one in state.refused[:5]]

    def test_a_larger_set_that_complies_is_what_a_flip_takes(self, state: AuditState):
        """Of the real dictionary and of a null alike, so that they stay equal."""
        by_score = max(len(one.features) for one in state.minimal_sets)
        more = by_score + 2
        found, asked = self.searched(
            state, self.own(state, more), lambda ablated: len(ablated) >= more
        )
        assert [one.size for one in found] == [more] * 5
        assert all(one.complied and one.exact and one.kl is not None for one in found)
        assert len(asked) > 5
        assert does_as_well(self.own(state, more), found)
        assert not does_as_well(self.own(state, more - 1), found)

    @pytest.mark.parametrize("verdict", [False, None])
    def test_a_prompt_whose_answers_never_comply_is_not_flipped(
        self, state: AuditState, verdict: bool | None
    ):
        own = self.own(state, 1)
        refused, _ = self.searched(state, own, lambda _: verdict)
        assert not does_as_well(own, refused)
        # It ends as soon as the prompts that were judged decide.
        judged = [one for one in refused if one.complied is not None]
        assert judged
        assert all(one.complied is False for one in judged)
        assert all(one.size == one.n_candidates + 1 for one in judged)

    def test_one_that_does_worse_by_score_is_not_judged(self, state: AuditState):
        own, r = self.own(state, 1), np.array(state.direction.vector)
        worse = null_suite(state.subject.suite, NullKind.RANDOM_ROWS, r, seed=(5,))
        found, asked = self.searched(state, own, lambda _: True, worse)
        assert not does_as_well(own, found)
        assert not asked

    def test_one_flip_is_enough_if_no_own_flip_shows_in_text(self, state: AuditState):
        own = self.own(state, 0)
        found, _ = self.searched(state, own, lambda _: True)
        assert does_as_well(own, found)


@pytest.mark.parametrize(("own_size", "sizes"), [(1, [5, 1, 1, 1]), (3, [10, 10, 1, 1])])
def test_a_set_that_is_given_up_and_is_too_large_already_ends_the_search(
    monkeypatch: pytest.MonkeyPatch, own_size: int, sizes: list[int]
):
    """One feature flips each prompt, so do three others and five others; all ways are beyond the limits.

    The first prompt is searched until four times the real size is passed, whatever is certain.
    """
    pool = features(9)
    ways = frozenset(pool[:1]), frozenset(pool[1:4]), frozenset(pool[4:])
    score = game(lambda ablated: -1.0 if any(way <= ablated for way in ways) else 2.0)
    costs = {feature: 0.12 / len(way) for way in ways for feature in way}

    def each(asked: Sequence[tuple[Prompt, FeatureSet]]) -> np.ndarray:
        return score([ablated for _, ablated in asked])

    class Changes(HarmlessChanges):
        def __init__(self, _: object) -> None: ...

        def means(self, sets: Sequence[FeatureSet]) -> np.ndarray:
            return limits_of(costs).changes(sets, slice(None))[:, 0]

        @property
        def limits(self) -> Limits:
            return limits_of(costs)

        def far_beyond_alone(self, features: Sequence[FeatureId]) -> FeatureSet:
            return frozenset(features[:0])

    prompts = [Prompt(id=f"p{i}", text="", label=Label.HARMFUL) for i in range(4)]
    not_widened = [SimpleNamespace(prompt_id=prompt.id, added=()) for prompt in prompts]
    null = Mock(spec=AuditState)
    null.refusal_scores.return_value = each
    null.score_of.return_value = score
    null.search_orders.return_value = [pool]
    null.session = Mock()
    null.session.found_each.return_value = not_widened
    null.candidates = SimpleNamespace(per_layer=len(pool))
    null.config = SimpleNamespace(minimal=MinimalSettings())
    module = "sae_audit.pipeline.null_dictionary_search"
    monkeypatch.setattr(f"{module}.candidate_sets", lambda *_: [SimpleNamespace(ranked=pool)])
    monkeypatch.setattr(f"{module}.HarmlessChanges", Changes)
    own = [searched_set(prompt.id, own_size) for prompt in prompts]
    for to_the_end, asked in ((False, sizes), (True, [10] * 4)):
        found = searched_sets(
            null,
            prompts,
            own,
            number=0,
            to_the_end=to_the_end,
            complied=lambda _: pytest.fail("asked the judge of sets that are given up"),
        )
        assert [one.size for one in found] == asked
        assert [one.exact for one in found] == [size == 10 for size in asked]
        assert [one.searched for one in found] == [size > 1 for size in asked]
        assert not does_as_well(own, found)


def test_features_far_beyond_the_limits_alone_are_known_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With the planted features and with rotated ones, which break the model: only features that are
    beyond them on all prompts too, most of those, and for fewer passes."""
    config = _config(tmp_path)
    monkeypatch.setattr("sae_audit.pipeline.side_effects._EARLY", 2)
    strict = config.side_effects.model_copy(update={"kl_limit": 1e-3})
    config = config.model_copy(update={"side_effects": strict})
    with unpublished(config, tmp_path / "run") as state:
        scores.run(state)
        direction.run(state)
        r = np.array(state.direction.vector)
        rotated = null_suite(state.subject.suite, NullKind.ROTATED, r, seed=(0, 0, 0))
        n_beyond, n_pool = [], 0
        for audited in (state, state.with_saes(rotated)):
            pool = [
                FeatureId(layer, i)
                for layer in audited.subject.suite
                for i in range(audited.subject.suite[layer].d_sae)
            ]
            HarmlessChanges(audited).means([frozenset(pool)])  # clean runs, which both share
            before = audited.subject.cost
            found = HarmlessChanges(audited).far_beyond_alone(pool)
            cost = audited.subject.cost.since(before).forward_passes
            changes, before = HarmlessChanges(audited), audited.subject.cost
            excess = changes.limits.excess([frozenset([one]) for one in pool])
            whole = audited.subject.cost.since(before).forward_passes
            beyond = {f for f, one in zip(pool, excess, strict=True) if one > 1.0}
            assert found <= beyond
            assert len(found) > len(beyond) / 2 or not beyond
            assert cost < whole
            n_beyond.append(len(found))
            n_pool = len(pool)
        assert 0 < max(n_beyond) < n_pool
