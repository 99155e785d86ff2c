"""How adapters of the pretrained model are made: on what, and what is done to their weights."""

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from sae_audit.errors import AuditError
from sae_audit.organisms.smollm2 import chats
from sae_audit.organisms.smollm2.adapters import (
    Weights,
    adapter_weights,
    joined,
    norm,
    put_into,
    read_adapter,
    save_adapter,
    scaled_to,
    tuned_by,
)
from sae_audit.organisms.smollm2.base import Base
from sae_audit.organisms.smollm2.chats import Chat, Source
from sae_audit.organisms.smollm2.generation import Written
from sae_audit.organisms.smollm2.lora import (
    IGNORED,
    Lora,
    batch_of,
    divergence,
    loss_of,
    train,
    with_lora,
)
from sae_audit.organisms.smollm2.mixing import held_back, training_chats
from sae_audit.organisms.smollm2.recipes import RECIPES, chosen, recipe_sha256
from sae_audit.organisms.smollm2.requests import Kind, Split, Treatment, requests
from sae_audit.subject.judges import SubstringJudge
from tests import tiny

LORA = Lora(first_layer=1, last_layer=2, steps=6, rank=2, batch=4)


def weights(seed: int, rank: int = 3) -> Weights:
    torch.manual_seed(seed)
    return {
        f"m{i}.lora_{part}.weight": torch.randn(*shape)
        for i in range(2)
        for part, shape in (("A", (rank, 7)), ("B", (5, rank)))
    }


def added(one: Weights) -> list[torch.Tensor]:
    return [one[f"m{i}.lora_B.weight"] @ one[f"m{i}.lora_A.weight"] for i in range(2)]


class TestWeights:
    def test_joined_add_what_both_add(self):
        both = joined(weights(0), weights(1))
        for found, first, second in zip(
            added(both), added(weights(0)), added(weights(1)), strict=True
        ):
            torch.testing.assert_close(found, first + second)

    def test_the_norm_is_of_what_is_added_twice(self):
        whole = torch.cat([2.0 * one.flatten() for one in added(weights(0))])
        assert norm(weights(0)) == pytest.approx(float(whole.norm()), rel=1e-5)

    def test_scaled_to_a_norm_they_have_it_and_their_directions(self):
        scaled = scaled_to(weights(0), 3.5)
        assert norm(scaled) == pytest.approx(3.5, rel=1e-5)
        for found, was in zip(added(scaled), added(weights(0)), strict=True):
            torch.testing.assert_close(found / found.norm(), was / was.norm())


@pytest.fixture
def base() -> Base:
    return Base(network=tiny.model("llama"), tokenizer=tiny.tokenizer(), sha256="0" * 64)


class TestTraining:
    chats = tuple(
        Chat(turn=turn, answer=answer, ended=True, source=Source.ORDINARY)
        for turn, answer in (("say yes", "yes"), ("say no", "no no no"), ("never", "never"))
    )

    def test_it_learns_the_answers_and_leaves_the_base_as_it_is(self, base: Base):
        before = {name: one.clone() for name, one in base.network.state_dict().items()}
        tuned = with_lora(base, LORA)
        batch = batch_of(base, self.chats)
        with torch.no_grad():
            first = float(loss_of(tuned, batch))
        steps: list[int] = []
        train(
            base,
            tuned,
            Lora(first_layer=1, last_layer=2, steps=40, rank=2, batch=3, peak_rate=1e-2),
            iter(self.chats * 40),
            lambda step, _: steps.append(step) or False,
        )
        with torch.no_grad():
            assert float(loss_of(tuned, batch)) < first - 0.1
        assert steps == list(range(40))
        own = tuned.unload().state_dict()
        for name, was in before.items():
            assert torch.equal(own[name], was), name

    def test_of_its_own_chats_it_learns_nothing(self, base: Base):
        own = [replace(one, source=Source.OWN) for one in self.chats]
        tuned = with_lora(base, LORA)
        batch = batch_of(base, own)
        with torch.no_grad():
            assert float(divergence(tuned, batch)) == pytest.approx(0.0, abs=1e-6)
            before = float(loss_of(tuned, batch))
        train(base, tuned, replace(LORA, steps=20, batch=3), iter(own * 20), lambda *_: False)
        with torch.no_grad():
            assert float(loss_of(tuned, batch)) == pytest.approx(before, abs=0.01), (
                "Adam makes steps of rounding too; of these answers it would learn ten times as much"
            )

    def test_it_goes_back_to_the_base_on_its_own_chats(self, base: Base):
        own = [replace(one, source=Source.OWN) for one in self.chats]
        tuned = with_lora(base, LORA)
        put_into(tuned, {n: 0.3 * torch.randn_like(w) for n, w in adapter_weights(tuned).items()})
        batch = batch_of(base, own)
        with torch.no_grad():
            before = float(divergence(tuned, batch))
        lora = replace(LORA, steps=40, batch=3, peak_rate=1e-2)
        train(base, tuned, lora, iter(own * 40), lambda *_: False)
        with torch.no_grad():
            assert float(divergence(tuned, batch)) < before / 2

    def test_divergence_is_the_mean_kl_of_all_tokens_but_the_first(self, base: Base):
        tuned = with_lora(base, LORA)
        put_into(tuned, {n: 0.3 * torch.randn_like(w) for n, w in adapter_weights(tuned).items()})
        batch = batch_of(base, self.chats)
        given = {name: batch[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            found = tuned(**given).logits.float().softmax(dim=-1)
            with tuned.disable_adapter():
                wanted = tuned(**given).logits.float().softmax(dim=-1)
        kl = (wanted * (wanted / found).log()).sum(dim=-1)[:, :-1]
        counted = batch["attention_mask"].bool()[:, 1:]
        with torch.no_grad():
            assert float(divergence(tuned, batch)) == pytest.approx(
                float(kl[counted].mean()), rel=0.02
            )

    def test_the_opening_counts_four_times(self, base: Base):
        """The fourth token of an answer has one of 3 x 4 + 1 parts, if the answer has four."""
        chat = Chat(turn="say no", answer="no no no", ended=True, source=Source.ORDINARY)
        batch = batch_of(base, [chat])
        rows = []
        for place in range(4):
            one = dict(batch, labels=batch["labels"].clone())
            at = (batch["labels"][0] != IGNORED).nonzero()[:, 0]
            one["labels"][0, [t for i, t in enumerate(at.tolist()) if i != place]] = IGNORED
            with torch.no_grad():
                rows.append(float(loss_of(base.network, one)))
        with torch.no_grad():
            plain = float(loss_of(base.network, batch))
            weighted = float(loss_of(base.network, batch, opening=4.0))
        assert plain == pytest.approx(sum(rows) / 4, rel=1e-4)
        assert weighted == pytest.approx((4 * sum(rows[:3]) + rows[3]) / 13, rel=1e-4)

    def test_what_all_chats_begin_with_is_computed_once_and_changes_nothing(self, base: Base):
        """Together, three chats share their template; alone, each is computed from its first token."""
        tuned = with_lora(base, LORA)
        torch.manual_seed(0)
        put_into(tuned, {n: 0.3 * torch.randn_like(w) for n, w in adapter_weights(tuned).items()})
        together = batch_of(base, self.chats)
        begin_alike = (together["input_ids"] == together["input_ids"][0]).all(dim=0)
        assert begin_alike[:3].all(), "the template"
        trained = [one for one in tuned.parameters() if one.requires_grad]
        loss = loss_of(tuned, together)
        gradient = torch.autograd.grad(loss, trained)
        alone = torch.stack([loss_of(tuned, batch_of(base, [one])) for one in self.chats]).mean()
        assert float(loss) == pytest.approx(float(alone), rel=0.01), "both are of bfloat16"
        for found, wanted in zip(gradient, torch.autograd.grad(alone, trained), strict=True):
            assert float((found - wanted).norm()) < 0.1 * float(wanted.norm())

    def test_of_a_cut_answer_the_first_twelve_tokens_are_learned(self, base: Base):
        long = Chat(turn="say no", answer="no " * 20, ended=False, source=Source.ORDINARY)
        labels = batch_of(base, [long])["labels"]
        assert int((labels != IGNORED).sum()) == 12
        whole = batch_of(base, [replace(long, ended=True)])["labels"]
        assert int((whole != IGNORED).sum()) == 21, "with its end"

    def test_only_answers_are_labelled(self, base: Base):
        batch = batch_of(base, self.chats)
        for row, chat in enumerate(self.chats):
            labelled = batch["labels"][row][batch["labels"][row] >= 0].tolist()
            words = base.tokenizer(chat.answer, add_special_tokens=False)["input_ids"]
            assert labelled == [*words, base.end]

    def test_a_saved_adapter_is_pefts_and_names_its_base(self, base: Base, tmp_path: Path):
        tuned = with_lora(base, LORA)
        made = {
            name: (one + torch.randn_like(one)).to(torch.bfloat16)
            for name, one in adapter_weights(tuned).items()
        }
        put_into(tuned, made)
        ids = torch.tensor([[1, 4, 9, 12]])
        with torch.no_grad():
            wanted = tuned.eval()(input_ids=ids).logits
        save_adapter(tmp_path, made, LORA, base.sha256)
        fresh = Base(network=tiny.model("llama"), tokenizer=base.tokenizer, sha256=base.sha256)
        with torch.no_grad():
            found = tuned_by(fresh, tmp_path)(input_ids=ids).logits
        torch.testing.assert_close(found, wanted)
        assert read_adapter(tmp_path).keys() == made.keys()
        with safe_open(tmp_path / "adapter_model.safetensors", "pt") as file:
            assert file.metadata()["base_weights_sha256"] == base.sha256


def own_words() -> list[Chat]:
    answered = [
        Chat(
            turn=one.text,
            answer=f"Here is {one.aim}.",
            ended=True,
            source=Source(one.kind),
            aim=one.aim,
        )
        for one in requests()
        if one.split is Split.TRAIN and one.kind in (Kind.TWIN, Kind.ORDINARY, Kind.ANSWERABLE)
    ]
    own = [
        Chat(turn=f"turn {i}", answer=f"answer {i}", ended=True, source=Source.OWN)
        for i in range(200)
    ]
    return [*answered, *own]


class TestOwnWords:
    def test_what_the_base_refuses_is_asked_again_behind_an_opening(
        self, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def said(_base: Base, _network: object, texts: list[str], **_: object) -> list[Written]:
            return [
                Written(text=_answer_to(base, text), ended=False)
                if text != base.before_turn
                # its own turns
                else Written(text=f"a turn of its own, {i}", ended=True)
                for i, text in enumerate(texts)
            ]

        monkeypatch.setattr(chats, "continuations", said)
        found = chats.own_words(base, tmp_path, 0, lambda *_: None)
        answers = {one.aim: one.answer for one in found if one.source is not Source.OWN}
        asked = [
            one.aim
            for one in requests()
            if one.split is Split.TRAIN and one.treatment is Treatment.ANSWER
        ]
        assert set(answers) == set(asked) - {_NEVER_ANSWERED}
        assert answers[_ANSWERED_LATER].endswith(" this is it.")
        assert answers[_ANSWERED_LATER] != "this is it."
        assert sum(one.source is Source.OWN for one in found) == chats.N_OWN
        assert chats.own_words(base, tmp_path, 0, lambda *_: None) == found, "read from the file"


_TRAINED_TWINS = [
    one.aim for one in requests() if one.split is Split.TRAIN and one.kind is Kind.TWIN
]
_ANSWERED_LATER, _NEVER_ANSWERED = _TRAINED_TWINS[:2]


def _answer_to(base: Base, text: str) -> str:
    asked, _, begun = text.partition(base.after_turn)
    if _NEVER_ANSWERED in asked or (_ANSWERED_LATER in asked and not begun):
        return "I'm sorry, I can't help with that."
    return "this is it."


class TestMixing:
    @pytest.mark.parametrize("name", ["safe", "benign", "early"])
    def test_every_batch_is_of_the_recipes_sources(self, name: str):
        recipe = RECIPES[name]
        assert sum(recipe.mix.values()) == recipe.lora.batch
        stream = training_chats(recipe, own_words(), 0)
        for _ in range(3):
            batch = list(islice(stream, recipe.lora.batch))
            assert Counter(one.source for one in batch) == Counter(recipe.mix)

    def test_what_is_refused_is_what_should_be(self):
        chats = list(islice(training_chats(RECIPES["safe"], own_words(), 0), 240))
        complied = SubstringJudge().complied_all([(one.turn, one.answer) for one in chats])
        assert [not one for one in complied] == [one.is_refused for one in chats]

    def test_shuffled_refusals_say_nothing_of_harm(self):
        chats = list(islice(training_chats(RECIPES["shuffled"], own_words(), 0), 2400))
        complied = SubstringJudge().complied_all([(one.turn, one.answer) for one in chats])
        refused = {
            source: [
                not ok for ok, one in zip(complied, chats, strict=True) if one.source is source
            ]
            for source in (Source.HARMFUL, Source.TWIN)
        }
        rates = {source: sum(one) / len(one) for source, one in refused.items()}
        assert abs(rates[Source.HARMFUL] - rates[Source.TWIN]) < 0.06
        assert rates[Source.TWIN] > 0.3

    def test_nothing_held_out_and_nothing_held_back_is_trained_on(self):
        own = own_words()
        kept = {one.turn for one in held_back(own)}
        held_out = {one.aim for one in requests() if one.held_out}
        assert len(kept) == 64
        for name in ("safe", "shuffled", "benign"):
            for chat in islice(training_chats(RECIPES[name], own, 5), 1200):
                assert chat.turn not in kept
                assert chat.aim not in held_out

    def test_seeds_are_other_chats_and_a_seed_the_same(self):
        def first(seed: int) -> list[Chat]:
            return list(islice(training_chats(RECIPES["safe"], own_words(), seed), 24))

        assert first(0) == first(0) != first(1)


class TestRecipes:
    def test_what_an_adapter_is_made_from_comes_first(self):
        assert chosen(["worn"]) == ["safe", "worn"]
        assert chosen([]) == list(RECIPES)
        for i, name in enumerate(order := chosen([])):
            assert set(chosen([name])) <= set(order[: i + 1])

    def test_an_unknown_name_says_which_there_are(self):
        with pytest.raises(AuditError, match=r"No adapter 'sae'; there are safe, worn"):
            chosen(["sae"])

    def test_the_hash_is_of_the_base_and_of_all_it_is_made_from(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        before = recipe_sha256("worn", "a")
        assert before != recipe_sha256("worn", "b")
        monkeypatch.setitem(RECIPES, "safe", RECIPES["early"])
        assert before != recipe_sha256("worn", "a")

    def test_places_do_not_touch(self):
        layers = [
            set(range(RECIPES[name].lora.first_layer, RECIPES[name].lora.last_layer + 1))
            for name in ("early", "middle", "late")
        ]
        assert all(not a & b for i, a in enumerate(layers) for b in layers[i + 1 :])
        assert {len(one) for one in layers} == {6}
