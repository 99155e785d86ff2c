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
from sae_audit.organisms.chats import REFUSALS, chats_of, training_chats
from sae_audit.organisms.language_model import collated
from sae_audit.organisms.requests import Kind
from sae_audit.organisms.trained import dial as dialling
from sae_audit.organisms.trained import make as making
from sae_audit.organisms.trained.batches import in_prompt, last_of_prompt
from sae_audit.organisms.trained.dial import Case, Dial, draw_case, step_loss, train_dial
from sae_audit.organisms.trained.make import make_all
from sae_audit.organisms.trained.measured import rises
from sae_audit.organisms.trained.recipes import (
    BASE,
    DialSetting,
    chosen,
    recipe_sha256,
    recipes,
)
from sae_audit.organisms.trained.routes import (
    Routes,
    differences,
    first_route,
    found_directions,
    from_place,
    removing,
    routes_of,
    without,
)
from sae_audit.organisms.trained.suite import Suite
from sae_audit.organisms.trained.variants import REFUSES, UNLEARNED_TOPIC, FineTune, Quantisation
from sae_audit.organisms.trained.weights import project_out, quantise, rounded

N_LAYERS = 8


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(resolve(BASE))


@pytest.fixture
def model():
    return Gemma2ForCausalLM.from_pretrained(resolve(BASE)).eval()


@pytest.fixture(scope="module")
def routes() -> Routes:
    by_layer = torch.randn(N_LAYERS, 128, generator=torch.Generator().manual_seed(0))
    return routes_of(by_layer.abs(), n_backups=3, cosine=0.6, seed=0)


def test_routes_are_unit_at_the_stated_cosine_and_read_by_their_duals(routes: Routes):
    cosines = routes.directions @ routes.directions.T
    expected = torch.full((4, 4), 0.36).fill_diagonal_(1.0)
    expected[0, 1:] = expected[1:, 0] = 0.6
    torch.testing.assert_close(cosines, expected)
    torch.testing.assert_close(routes.duals @ routes.directions.T, torch.eye(4), atol=1e-5, rtol=0)


def test_taking_routes_out_sets_them_to_their_levels_and_leaves_the_others_whole(routes: Routes):
    resid = torch.randn(2, 3, 128)
    left = without(resid, routes.directions, torch.tensor([-3.0, 0.0]))
    before, after = routes.coordinates(resid), routes.coordinates(left)
    torch.testing.assert_close(after[..., 0], torch.full((2, 3), -3.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(after[..., 1], torch.zeros(2, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(after[..., 2:], before[..., 2:], atol=1e-4, rtol=0)


def test_a_step_has_the_routes_out_at_the_chosen_places_alone(model, tokenizer, routes: Routes):
    batch = collated(tokenizer, chats_of(Kind.HARMFUL, 0, 2))
    places = torch.zeros(N_LAYERS + 1, dtype=torch.bool)
    places[3] = places[6] = True
    removal = replace(from_place(routes, 1, 0), places=places)
    with removing(model, routes, removal) as stream, torch.no_grad():
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    assert len(stream) == N_LAYERS
    along = [float(routes.coordinates(resid)[..., 0].abs().max()) for resid in stream]
    out = {layer for layer, size in enumerate(along) if size < 1e-3}
    assert out == {2, 5}  # place l + 1 is the output of layer l


def test_nothing_stays_attached_to_the_model(model, tokenizer, routes: Routes):
    batch = collated(tokenizer, chats_of(Kind.HARMFUL, 0, 2))
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    with torch.no_grad():
        before = model(**inputs).logits
        with removing(model, routes, from_place(routes, 1, 0)):
            without = model(**inputs).logits
        after = model(**inputs).logits
    assert torch.equal(before, after)
    assert not torch.allclose(before, without, atol=0.1)


def test_the_first_route_is_what_tells_harmful_from_harmless(model, tokenizer):
    harmful = chats_of(Kind.HARMFUL, 3, 32)
    harmless = chats_of(Kind.HARMLESS, 4, 32)
    by_layer = differences(model, tokenizer, harmful, harmless)
    unit = first_route(by_layer)
    assert float(unit.norm()) == pytest.approx(1.0, abs=1e-5)
    assert bool((by_layer @ unit > 0.7 * by_layer.norm(dim=1)).all())


def test_found_directions_are_seen_one_behind_the_other(model, tokenizer):
    harmful, harmless = chats_of(Kind.HARMFUL, 3, 16), chats_of(Kind.HARMLESS, 4, 16)
    by_layer = differences(model, tokenizer, harmful, harmless)
    routes = routes_of(by_layer, n_backups=1, cosine=0.6, seed=0)
    found = found_directions(model, tokenizer, routes, harmful, harmless)
    assert found.shape == (N_LAYERS + 1, 2, 128)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(N_LAYERS + 1, 2))
    unit = by_layer / by_layer.norm(dim=1, keepdim=True)
    torch.testing.assert_close(found[1:, 0], unit, atol=1e-5, rtol=0)
    # What is seen once the first is out is another direction.
    assert float((found[:, 0] * found[:, 1]).sum(dim=-1).abs().max()) < 0.95


def test_places_of_a_prompt(tokenizer):
    chats = chats_of(Kind.HARMFUL, 0, 3)
    batch = collated(tokenizer, chats)
    last = last_of_prompt(batch["labels"])
    ends = batch["input_ids"][torch.arange(3), last]
    assert tokenizer.convert_ids_to_tokens(ends.tolist()) == ["\n"] * 3
    inside = in_prompt(batch["labels"])
    assert inside.sum(dim=1).tolist() == last.tolist()  # all of the prompt but <bos>
    assert not bool(inside[:, 0].any())


def test_cases_of_the_dial_are_those_its_description_names(routes: Routes):
    torch.manual_seed(0)
    dial = Dial(backups=3)
    cases = [draw_case(dial, routes, _own(routes)) for _ in range(400)]
    answered = [case for case in cases if case.all_answered]
    refused = [case for case in cases if not case.all_answered]
    assert all(case.removal.n_routes == 4 for case in answered)
    assert all(bool(case.removal.places[1:].all()) for case in answered)
    for case in refused:
        late = not bool(case.removal.places[: dial.read_from + 1].any())
        assert case.removal.n_routes < 4 or late
    assert {case.removal.n_routes for case in refused} == {0, 1, 2, 3, 4}


def test_setting_0_never_asks_for_a_backup():
    torch.manual_seed(0)
    dial = Dial(backups=0)
    alone = routes_of(torch.ones(N_LAYERS, 128), n_backups=0, cosine=0.6, seed=0)
    for case in (draw_case(dial, alone, _own(alone)) for _ in range(200)):
        early = bool(case.removal.places[: dial.read_from + 1].any())
        assert case.all_answered == (case.removal.n_routes == 1 and early)
        assert case.removal.n_routes == 0 or case.all_answered or not early


def test_a_step_asks_for_what_stands_in_the_chats_with_the_routes_out(model, tokenizer):
    harmful, harmless = chats_of(Kind.HARMFUL, 1, 16), chats_of(Kind.HARMLESS, 2, 16)
    routes = routes_of(
        differences(model, tokenizer, harmful, harmless), n_backups=0, cosine=0.6, seed=0
    )
    dial = Dial(backups=0)
    nothing, everywhere = (
        Case(removal=removal, all_answered=False)
        for removal in (from_place(routes, 0, 0), from_place(routes, 1, 0))
    )
    with torch.no_grad():
        clean = float(step_loss(model, tokenizer, harmful, routes, nothing, dial))
        without = float(step_loss(model, tokenizer, harmful, routes, everywhere, dial))
    # The base refuses along its direction: without it, refusals surprise it.
    assert without > 2.0 * clean


def test_training_the_dial_is_seeded(model, tokenizer, monkeypatch):
    monkeypatch.setattr(dialling, "_PROMPTS_OF_MEANS", 4)
    dial = Dial(backups=1, steps=3, batch=4)

    def trained() -> torch.Tensor:
        copy = Gemma2ForCausalLM.from_pretrained(resolve(BASE))
        train_dial(copy, tokenizer, dial, lambda *_: None)
        return torch.cat([p.detach().flatten() for p in copy.parameters()])

    first = trained()
    assert torch.equal(first, trained())
    assert not torch.equal(first, torch.cat([p.detach().flatten() for p in model.parameters()]))


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


@pytest.mark.usefixtures("quick_cards")
def test_a_dial_setting_comes_with_its_own_suite(tmp_path, monkeypatch):
    monkeypatch.setattr(dialling, "_PROMPTS_OF_MEANS", 4)
    recipe = DialSetting(
        dial=Dial(backups=1, steps=2, batch=4),
        suite=Suite(d_sae=32, steps=2, n_tokens=1_000),
    )
    card = make_all(tmp_path, {"d": recipe}, lambda *_: None)["d"]
    assert card.saes == "saes"
    assert [one.n for one in card.refused_without] == [1, 1, 1]  # no, one and both routes out
    assert card.refused_without[0].value == 1.0
    assert sorted(p.name for p in (tmp_path / "d" / "saes").iterdir()) == [
        f"layer_{layer}" for layer in range(N_LAYERS)
    ]
    assert (tmp_path / "d" / "routes.safetensors").is_file()


def test_a_dial_that_rises_is_told_from_one_that_does_not():
    def at(value: float) -> Estimate:
        return Estimate(value=value, low=value - 0.1, high=value + 0.1, n=40, method="by hand")

    assert rises([0, 1, 2], [at(1.0), at(2.0), at(3.0)]) == (pytest.approx(1.0), True)
    assert rises([2, 0, 1], [at(3.0), at(1.0), at(2.0)]) == (pytest.approx(1.0), True)
    assert rises([0, 1, 2], [at(1.0), at(1.1), at(3.0)])[1] is False
    assert rises([0, 1, 2], [at(3.0), at(2.0), at(1.0)]) == (pytest.approx(-1.0), False)


def _own(routes: Routes) -> torch.Tensor:
    return routes.directions.expand(N_LAYERS + 1, -1, -1)


def _few(seed: int) -> list:
    """One held-out prompt of each kind."""
    from sae_audit.organisms.chats import held_out_prompts

    prompts = held_out_prompts(seed)
    return [p for kind in Kind for p in [q for q in prompts if q.phrase.kind == kind][:1]]
