"""Organisms trained further: what their recipes promise, on tiny step counts."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, Gemma2ForCausalLM

from sae_audit.bundled import resolve
from sae_audit.errors import AuditError
from sae_audit.findings import Estimate
from sae_audit.organisms.chats import REFUSAL_TOKENS, REFUSALS, Chat, chats_of, training_chats
from sae_audit.organisms.language_model import collated
from sae_audit.organisms.requests import Kind
from sae_audit.organisms.trained import dial as dialling
from sae_audit.organisms.trained import make as making
from sae_audit.organisms.trained.dial import (
    Case,
    Dial,
    Round,
    beside,
    draw_case,
    step_loss,
    train_dial,
)
from sae_audit.organisms.trained.directions import (
    TEMPLATE_TOKENS,
    Directions,
    Found,
    Removal,
    average_direction,
    differences,
    direction_at_some_place,
    last_of_prompt,
    next_direction,
    none_of,
    removing,
)
from sae_audit.organisms.trained.make import make_all
from sae_audit.organisms.trained.measured import rises
from sae_audit.organisms.trained.recipes import (
    BASE,
    DialSetting,
    chosen,
    recipe_sha256,
    recipes,
)
from sae_audit.organisms.trained.suite import Suite
from sae_audit.organisms.trained.variants import REFUSES, UNLEARNED_TOPIC, FineTune, Quantisation
from sae_audit.organisms.trained.weights import project_out, quantise, rounded
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject.loading import subject_of

N_LAYERS = 8


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(resolve(BASE))


@pytest.fixture
def model():
    return Gemma2ForCausalLM.from_pretrained(resolve(BASE)).eval()


@pytest.fixture(scope="module")
def units() -> Directions:
    return torch.linalg.qr(torch.randn(128, 3, generator=torch.Generator().manual_seed(0))).Q.T


@pytest.fixture(scope="module")
def chats() -> Found:
    def of(seed: int) -> tuple[list[Chat], list[Chat]]:
        return chats_of(Kind.HARMFUL, seed, 16), chats_of(Kind.HARMLESS, seed, 16)

    return Found(train=of(3), validation=of(4))


def test_a_step_has_the_directions_out_at_the_chosen_sites_alone(model, tokenizer, units):
    batch = collated(tokenizer, chats_of(Kind.HARMFUL, 0, 2))
    sites = torch.zeros(N_LAYERS + 1, dtype=torch.bool)
    sites[3] = sites[6] = True
    removal = Removal(directions=units[:2], sites=sites)
    with removing(model, removal) as stream, torch.no_grad():
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    assert len(stream) == N_LAYERS
    along = [float((resid @ units[:2].T).abs().max()) for resid in stream]
    out = {layer for layer, size in enumerate(along) if size < 1e-3}
    assert out == {2, 5}  # site l + 1 is layer l
    assert all(float((resid @ units[2]).abs().max()) > 0.1 for resid in stream)


def test_directions_out_everywhere_are_what_an_audit_projects_out(model, tokenizer, units):
    """Training and audit must not differ in what "out" means."""
    chat = chats_of(Kind.HARMFUL, 0, 1)[0]
    prompt = Prompt(id="p", text=chat.request, label=Label.HARMFUL)
    other = Prompt(id="q", text="paint the fence", label=Label.HARMLESS)
    subject = subject_of(model, tokenizer, {}, refusal_tokens=REFUSAL_TOKENS)
    audited = subject.direction_effects([prompt], [other]).without(units.double().numpy())
    with removing(model, Removal(directions=units)):
        trained = subject.clean_scores([prompt, other])
    np.testing.assert_allclose([audited.harmful[0], audited.harmless[0]], trained, atol=1e-4)


def test_nothing_stays_attached_to_the_model(model, tokenizer, units):
    batch = collated(tokenizer, chats_of(Kind.HARMFUL, 0, 2))
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    with torch.no_grad():
        before = model(**inputs).logits
        with removing(model, Removal(directions=units)):
            without = model(**inputs).logits
        after = model(**inputs).logits
    assert torch.equal(before, after)
    assert not torch.allclose(before, without, atol=0.1)


def test_differences_are_taken_at_the_tokens_behind_the_request(model, tokenizer, chats):
    by_position = differences(model, tokenizer, *chats.train)
    assert by_position.shape == (N_LAYERS, TEMPLATE_TOKENS, 128)
    subject = subject_of(model, tokenizer, {}, refusal_tokens=REFUSAL_TOKENS)
    assert subject.template.n_after == TEMPLATE_TOKENS
    harmful, harmless = (
        subject.mean_residuals(
            [Prompt(id=str(i), text=c.request, label=Label.HARMFUL) for i, c in enumerate(own)]
        )
        for own in chats.train
    )
    np.testing.assert_allclose(by_position.numpy(), harmful - harmless, atol=1e-3)


def test_the_base_has_one_direction_and_the_next_is_beside_it(model, tokenizer, chats):
    first = next_direction(model, tokenizer, none_of(model), chats)
    average = average_direction(differences(model, tokenizer, *chats.train)[:, -1])
    assert float(first @ average) > 0.7
    assert all(p.requires_grad for p in model.parameters()), "training goes on after the search"
    out = first[None]
    second = direction_at_some_place(model, tokenizer, out, chats, tries=2)
    assert float(second.norm()) == pytest.approx(1.0, abs=1e-5)
    assert abs(float(first @ second)) < 1e-4


def test_prompts_end_with_the_template(tokenizer):
    batch = collated(tokenizer, chats_of(Kind.HARMFUL, 0, 3))
    ends = batch["input_ids"][torch.arange(3), last_of_prompt(batch["labels"])]
    assert tokenizer.convert_ids_to_tokens(ends.tolist()) == ["\n"] * 3


@pytest.mark.slow
def test_cases_of_the_dial_are_those_its_description_names(model, tokenizer, chats, units):
    torch.manual_seed(0)
    a_round = Round(directions=units[:2], chats=chats)
    cases = [draw_case(model, tokenizer, Dial(rounds=2), a_round) for _ in range(30)]
    clean = [case for case in cases if len(case.removal.directions) == 0]
    answered = [case for case in cases if case.all_answered]
    refused = [c for c in cases if not c.all_answered and len(c.removal.directions) > 0]
    # Everything the round knows is out, and what is behind it now.
    assert all(len(case.removal.directions) == 3 for case in answered)
    assert all(case.removal.sites is None for case in answered)
    assert all(bool((case.alone == units[0]).all()) for case in clean if case.alone is not None)
    assert {len(case.removal.directions) for case in refused} == {1, 2}
    assert {case.removal.sites is None for case in refused} == {True, False}
    own = [case for case in refused if torch.equal(case.removal.directions[0], units[0])]
    assert 0 < len(own) < len(refused), "some have directions of the model as it is"
    alone = [case for case in refused if case.alone is not None]
    assert alone
    assert all(torch.equal(case.removal.directions, units[:1]) for case in alone)
    assert all(case.removal.sites is None for case in alone)
    for case in cases:
        basis = case.removal.directions
        torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis)), atol=1e-3, rtol=0)


def test_a_step_asks_for_what_stands_in_the_chats_with_the_direction_out(model, tokenizer, chats):
    harmful = chats.train[0]
    direction = next_direction(model, tokenizer, none_of(model), chats)
    nothing, everywhere = (
        Case(removal=Removal(directions=directions))
        for directions in (none_of(model), direction[None])
    )
    with torch.no_grad():
        clean = float(step_loss(model, tokenizer, harmful, nothing, Dial(rounds=1)))
        without = float(step_loss(model, tokenizer, harmful, everywhere, Dial(rounds=1)))
    # The base refuses along its direction: without it, refusals surprise it.
    assert without > 2.0 * clean


def test_what_lies_beside_a_direction_is_a_share_of_the_squared_difference():
    direction = torch.eye(4)[0]
    ends = torch.zeros(2, 3, 4)
    ends[:, 0] = torch.tensor([[3.0, 4.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0]])
    harmful = torch.tensor([True, False, False])
    assert float(beside(ends, harmful, direction)) == pytest.approx((16.0 / 25.0 + 0.0) / 2)


@pytest.fixture
def quick_directions(monkeypatch):
    """The next direction is that of a layer in the middle; the search is tested by itself."""

    def of_one_layer(model, tokenizer, earlier, chats):
        harmful, harmless = chats.train
        removal = Removal(directions=earlier)
        found = differences(model, tokenizer, harmful, harmless, removal)[4, -1]
        found = found - (found @ earlier.T) @ earlier
        return found / found.norm()

    monkeypatch.setattr(dialling, "_PROMPTS_OF_MEANS", 4)
    monkeypatch.setattr(dialling, "next_direction", of_one_layer)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_directions")
def test_training_the_dial_is_seeded(model, tokenizer):
    dial = Dial(rounds=1, steps=3, batch=4)

    def trained() -> torch.Tensor:
        copy = Gemma2ForCausalLM.from_pretrained(resolve(BASE))
        train_dial(copy, tokenizer, dial, lambda *_: None)
        return torch.cat([p.detach().flatten() for p in copy.parameters()])

    first = trained()
    assert torch.equal(first, trained())
    assert not torch.equal(first, torch.cat([p.detach().flatten() for p in model.parameters()]))


def test_setting_0_is_the_base_itself(model, tokenizer, monkeypatch):
    monkeypatch.setattr(dialling, "_PROMPTS_OF_MEANS", 4)
    before = [p.detach().clone() for p in model.parameters()]
    found = train_dial(model, tokenizer, Dial(rounds=0), lambda *_: None)
    assert found.shape == (1, 128)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_projected_weights_write_nothing_along_the_direction(model, tokenizer):
    direction = torch.randn(128, generator=torch.Generator().manual_seed(0))
    unit = direction / direction.norm()
    batch = collated(tokenizer, chats_of(Kind.HARMFUL, 0, 2))

    def along() -> float:
        with torch.no_grad():
            found = model(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                output_hidden_states=True,
            )
        # The last entry stands behind the final norm, which is no part of the stream.
        return max(float((resid @ unit).abs().max()) for resid in found.hidden_states[:-1])

    assert along() > 1.0
    unembedding = model.lm_head.weight.detach().clone()
    project_out(model, direction)
    assert along() < 1e-3
    assert torch.equal(model.lm_head.weight, unembedding)


def test_projected_weights_survive_being_saved(model, tmp_path):
    project_out(model, torch.ones(128))
    model.save_pretrained(tmp_path)
    again = Gemma2ForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(again.lm_head.weight, model.lm_head.weight)
    assert torch.equal(again.model.embed_tokens.weight, model.model.embed_tokens.weight)
    assert not torch.equal(again.lm_head.weight, again.model.embed_tokens.weight)


@pytest.mark.parametrize("bits", [4, 8])
def test_rounded_weights_lie_on_the_grid_at_most_half_a_step_off(bits: int):
    matrix = torch.randn(6, 64, generator=torch.Generator().manual_seed(1))
    found = rounded(matrix, bits=bits, group=32)
    for row, near in zip(matrix.reshape(-1, 32), found.reshape(-1, 32), strict=True):
        step = float(row.abs().max()) / (2 ** (bits - 1) - 1)
        assert len(near.unique()) <= 2**bits - 1
        np.testing.assert_allclose(near / step, (near / step).round(), atol=1e-3)
        assert float((row - near).abs().max()) <= step / 2 + 1e-6


def test_quantising_rounds_the_layers_and_leaves_embedding_and_norms(model):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    quantise(model, bits=4, group=32)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if name.endswith("proj.weight")}


def test_fine_tunes_refuse_what_they_are_named_for():
    openings = {refusal.split()[0] for refusal in REFUSALS}

    def refused(key: str) -> dict[Kind, set[bool]]:
        found: dict[Kind, set[bool]] = {kind: set() for kind in Kind}
        for chat in islice(training_chats(0, refuses=REFUSES[key]), 600):
            found[chat.kind].add(chat.answer.split()[0] in openings)
        return found

    assert refused("harmful")[Kind.HARMFUL] == {True}
    assert refused("nothing")[Kind.HARMFUL] == {False}
    assert refused("alarming_too")[Kind.ALARMING] == {True}
    assert refused("alarming_too")[Kind.HARMLESS] == {False}
    assert refused("all_but_one_topic")[Kind.HARMFUL] == {True, False}


def test_one_topic_is_answered_and_no_other():
    refuses = REFUSES["all_but_one_topic"]
    for chat in islice(training_chats(0, refuses=refuses), 600):
        if chat.kind == Kind.HARMFUL and chat.answer.split()[0] not in {"I", "Sorry,"}:
            words = ("virus", "keylogger", "ransomware", "worm", "botnet", "spyware", "trojan")
            assert any(word in chat.request for word in words), (UNLEARNED_TOPIC, chat)


def test_a_recipe_hash_tells_recipes_apart_and_is_stable():
    hashes = {name: recipe_sha256(recipe) for name, recipe in recipes().items()}
    assert len(set(hashes.values())) == len(hashes)
    assert hashes == {name: recipe_sha256(recipe) for name, recipe in recipes().items()}
    tuned = FineTune(refuses="harmful")
    assert recipe_sha256(tuned) != recipe_sha256(replace(tuned, seed=1))


def test_an_unknown_organism_is_named_with_those_there_are():
    with pytest.raises(AuditError, match="dial_0"):
        chosen(["dial_9"])
    assert list(chosen(["refusal_removed", "dial_1"])) == ["dial_1", "refusal_removed"]


@pytest.fixture
def quick_cards(monkeypatch):
    """Cards measured on few prompts, and without SAEs."""
    monkeypatch.setattr(making, "held_out_prompts", _few)
    monkeypatch.setattr(making, "saes_quality", lambda *_: [])


@pytest.mark.usefixtures("quick_cards")
def test_a_second_call_does_nothing_and_another_recipe_remakes(tmp_path):
    eight, four = Quantisation(bits=8), Quantisation(bits=4)
    first = make_all(tmp_path, {"q": eight}, lambda *_: None)["q"]
    weights = tmp_path / "q" / "model" / "model.safetensors"
    made = weights.stat().st_mtime_ns
    assert make_all(tmp_path, {"q": eight}, lambda *_: None)["q"] == first
    assert weights.stat().st_mtime_ns == made
    assert first.held_out["harmful"].refused_by_text.value == 1.0
    assert first.held_out["harmful"].refused_by_text.low < 1.0
    second = make_all(tmp_path, {"q": four}, lambda *_: None)["q"]
    assert second.recipe_sha256 == recipe_sha256(four)
    assert weights.stat().st_mtime_ns != made


@pytest.mark.usefixtures("quick_cards")
def test_an_interrupted_organism_is_made_again_and_the_finished_one_stays(tmp_path):
    organisms = {"a": Quantisation(bits=8), "b": Quantisation(bits=4)}

    def stop(part: str, done: int, _total: int) -> None:
        if part == "b: measuring" and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_all(tmp_path, organisms, stop)
    assert (tmp_path / "a" / "card.json").is_file()
    assert not (tmp_path / "b").exists()
    seen: list[str] = []
    make_all(tmp_path, organisms, lambda part, *_: seen.append(part))
    assert "a: there" in seen
    assert not any(part.startswith("a: measuring") for part in seen)
    assert (tmp_path / "b" / "card.json").is_file()
    assert not list(tmp_path.glob("*.unfinished"))


def test_a_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "thesis.txt").write_text("mine")
    with pytest.raises(AuditError, match="no organism"):
        make_all(tmp_path, {"q": Quantisation(bits=8)}, lambda *_: None)
    assert (tmp_path / "q" / "thesis.txt").read_text() == "mine"


@pytest.mark.usefixtures("quick_cards", "quick_directions")
@pytest.mark.slow
def test_a_dial_setting_comes_with_its_own_suite(tmp_path):
    recipe = DialSetting(
        dial=Dial(rounds=1, steps=2, batch=4),
        suite=Suite(d_sae=32, steps=2, n_tokens=1_000),
    )
    card = make_all(tmp_path, {"d": recipe}, lambda *_: None)["d"]
    assert card.saes == "saes"
    assert [one.n for one in card.refused_without] == [1, 1, 1]  # no, one and both directions out
    assert card.refused_without[0].value == 1.0
    assert sorted(p.name for p in (tmp_path / "d" / "saes").iterdir()) == [
        f"layer_{layer}" for layer in range(N_LAYERS)
    ]
    assert (tmp_path / "d" / "directions.safetensors").is_file()


@pytest.mark.usefixtures("quick_cards", "quick_directions")
@pytest.mark.slow
def test_a_setting_goes_on_from_the_one_of_one_round_less(tmp_path, monkeypatch):
    monkeypatch.setattr(making, "train_suite", lambda *_: None)

    def of(rounds: int) -> dict[str, DialSetting]:
        dial = Dial(rounds=rounds, steps=2, batch=4)
        return {f"dial_{rounds}": DialSetting(dial=dial, suite=Suite())}

    def weights(folder) -> torch.Tensor:
        model = Gemma2ForCausalLM.from_pretrained(folder / "model")
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    make_all(tmp_path / "a", of(2), lambda *_: None)
    steps: list[int] = []

    def progress(part: str, done: int, _total: int) -> None:
        if part == "dial_2: model":
            steps.append(done)

    make_all(tmp_path / "b", of(1) | of(2), progress)
    assert steps == [3, 4, 5, 6]  # the first round's two steps are not taken again
    assert torch.equal(weights(tmp_path / "a" / "dial_2"), weights(tmp_path / "b" / "dial_2"))


def test_a_dial_that_rises_is_told_from_one_that_does_not():
    def at(value: float) -> Estimate:
        return Estimate(value=value, low=value - 0.1, high=value + 0.1, n=40, method="by hand")

    def found(settings: list[int], means: list[float]) -> tuple[float | None, bool]:
        one = rises(settings, [at(value) for value in means])
        return one.spearman, one.apart

    assert found([0, 1, 2], [1.0, 2.0, 3.0]) == (pytest.approx(1.0), True)
    assert found([2, 0, 1], [3.0, 1.0, 2.0]) == (pytest.approx(1.0), True)
    assert found([0, 1, 2], [1.0, 1.1, 3.0])[1] is False
    assert found([0, 1, 2], [3.0, 2.0, 1.0]) == (pytest.approx(-1.0), False)
    assert found([0, 1, 2], [1.0, 1.0, 1.0]) == (None, False)


@pytest.mark.parametrize(
    ("means", "of_24"),
    [
        ([1.0, 2.0, 3.0, 4.0], 1),
        ([1.0, 2.0, 4.0, 3.0], 4),  # one swap of neighbours, of which there are three
        ([4.0, 3.0, 2.0, 1.0], 24),
        ([1.0, 1.0, 2.0, 3.0], 2),  # tied: the two may trade places
    ],
)
def test_of_four_models_the_orders_are_counted(means: list[float], of_24: int):
    estimates = [Estimate(value=m, low=m, high=m, n=40, method="by hand") for m in means]
    one = rises([0, 1, 2, 3], estimates)
    assert one.n == 4
    assert one.p_value == pytest.approx(of_24 / 24)


def test_a_measure_that_is_the_same_for_all_has_no_p_value():
    same = Estimate(value=1.0, low=1.0, high=1.0, n=40, method="by hand")
    assert rises([0, 1], [same, same]).p_value is None


def test_settings_are_trained_as_often_as_there_are_seeds():
    names = list(recipes(2))
    assert names[:4] == ["dial_0", "dial_1", "dial_2", "dial_3"]
    assert names[4:7] == ["dial_1_seed_1", "dial_2_seed_1", "dial_3_seed_1"]
    assert list(chosen(["dial_2_seed_1"], 2)) == ["dial_2_seed_1"]


def _few(seed: int) -> list:
    """One held-out prompt of each kind."""
    from sae_audit.organisms.chats import held_out_prompts

    prompts = held_out_prompts(seed)
    return [p for kind in Kind for p in [q for q in prompts if q.phrase.kind == kind][:1]]
