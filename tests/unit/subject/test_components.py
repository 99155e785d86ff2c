"""Parts of what the stream has along a direction: the literal computation, and a written model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sae_audit.controls.sae_coverage import sae_coverage
from sae_audit.findings import Estimate, SaeCoverage
from sae_audit.organisms.planted.families import build
from sae_audit.organisms.planted.plant import plant
from sae_audit.prompts.sources import read_sources
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.subject.model import forward_passes
from sae_audit.subject.readout.readout import margin
from sae_audit.vocabulary import Ablation, FeatureId, Part, Positions
from tests import tiny

HARMFUL = ("please tell me how to build a bomb", "steal a car please", "build bomb")
HARMLESS = ("please paint the fence", "wash a car please", "tell me how to wash the house", "paint")
N_AFTER = 3
"""Template positions: `<end> <turn> model`."""
N_BEFORE = 3
"""`<bos> <turn> user`."""


def prompts(texts: tuple[str, ...], label: Label) -> list[Prompt]:
    return [Prompt(id=f"{label}{i}", text=text, label=label) for i, text in enumerate(texts)]


REFUSED, ANSWERED = prompts(HARMFUL, Label.HARMFUL), prompts(HARMLESS, Label.HARMLESS)


class Literal:
    """One prompt a pass, one position at a time, plain hooks, float64 sums."""

    def __init__(self, subject: Subject, direction: np.ndarray) -> None:
        self.subject = subject
        self.unit = torch.tensor(direction / np.linalg.norm(direction), dtype=torch.float32)
        self.layers: Any = subject.network.model.layers

    def rebuilt(self, layer: int, resid: torch.Tensor) -> torch.Tensor:
        dictionary = self.subject.suite[layer]
        return dictionary.decode(dictionary.encode(resid), resid)

    def run(self, prompt: Prompt, edit: Any) -> torch.Tensor:
        """Logits with `edit(layer, resid)` as the output of every audited layer."""

        def hook(layer: int) -> Any:
            def changed(_module: Any, _args: Any, output: Any) -> Any:
                resid = output[0] if isinstance(output, tuple) else output
                instead = edit(layer, resid)
                return (instead, *output[1:]) if isinstance(output, tuple) else instead

            return changed

        handles = [self.layers[i].register_forward_hook(hook(i)) for i in self.subject.suite]
        ids = self.subject.template.tokens(prompt.text)[None]
        with torch.no_grad():
            logits = self.subject.network(input_ids=ids, use_cache=False).logits[:, -1]
        for handle in handles:
            handle.remove()
        return logits

    def components(self, prompt: Prompt) -> dict[tuple[int, int], tuple[float, float]]:
        """By layer and position: the stream's component, and the reconstruction's."""
        found: dict[tuple[int, int], tuple[float, float]] = {}

        def note(layer: int, resid: torch.Tensor) -> torch.Tensor:
            rebuilt = self.rebuilt(layer, resid)
            for position in range(resid.shape[1]):
                own, known = resid[0, position] @ self.unit, rebuilt[0, position] @ self.unit
                found[layer, position] = float(own), float(known)
            return resid

        self.run(prompt, note)
        return found

    def means(self) -> dict[tuple[int, str], tuple[float, float]]:
        """By layer and role (the words, or a template position) over the answered prompts."""
        sums: dict[tuple[int, str], list[tuple[float, float]]] = {}
        for prompt in ANSWERED:
            length = len(self.subject.template.tokens(prompt.text))
            for (layer, position), pair in self.components(prompt).items():
                if position >= N_BEFORE:
                    sums.setdefault((layer, role(position, length)), []).append(pair)
        return {
            key: (float(np.mean([a for a, _ in pairs])), float(np.mean([b for _, b in pairs])))
            for key, pairs in sums.items()
        }

    def score(self, prompt: Prompt, part: Part, positions: Positions) -> float:
        means, clean = self.means(), self.components(prompt)
        length = len(self.subject.template.tokens(prompt.text))

        def edit(layer: int, resid: torch.Tensor) -> torch.Tensor:
            changed, rebuilt = resid.clone(), self.rebuilt(layer, resid)
            for position in range(N_BEFORE, length):
                if positions == Positions.TEMPLATE and position < length - N_AFTER:
                    continue
                stream, known = means[layer, role(position, length)]
                component = float(resid[0, position] @ self.unit)
                match part:
                    case Part.STREAM:
                        more = stream - component
                    case Part.RECONSTRUCTION:
                        more = known - float(rebuilt[0, position] @ self.unit)
                    case Part.ERROR:
                        more = clean[layer, position][1] + (stream - known) - component
                changed[0, position] += more * self.unit
            return changed

        return float(margin(self.subject.readout, self.run(prompt, edit))[0])


def role(position: int, length: int) -> str:
    from_end = position - length
    return str(from_end) if from_end >= -N_AFTER else "words"


@pytest.mark.parametrize("part", list(Part))
@pytest.mark.parametrize("positions", [Positions.ALL, Positions.TEMPLATE])
@pytest.mark.parametrize(("family", "kind"), [("gemma2", "jumprelu"), ("llama", "topk")])
@pytest.mark.parametrize("alike_from", [N_BEFORE, N_BEFORE + 1])
def test_it_is_the_literal_computation(
    family: str,
    kind: str,
    positions: Positions,
    part: Part,
    alike_from: int,
    monkeypatch: pytest.MonkeyPatch,
):
    """Whether the template's first tokens are run apart or with each prompt."""
    monkeypatch.setattr(forward_passes, "ALIKE_FROM", alike_from)
    saes = [tiny.sae(kind, layer) for layer in range(2)]
    subject = tiny.subject_in_memory(family, saes)
    directions = np.random.default_rng(0).normal(size=(2, tiny.D_MODEL))
    ask = subject.replaced_parts(REFUSED, ANSWERED, directions, Ablation(positions=positions))
    by_hand = Literal(subject, directions[1])
    expected = [by_hand.score(prompt, part, positions) for prompt in REFUSED]
    assert ask(part, 1) == pytest.approx(expected, abs=1e-4)
    assert np.abs(ask(part, 1) - subject.clean_scores(REFUSED)).max() > 1e-2, "it changes something"


def test_projections_are_those_of_the_clean_run():
    subject = tiny.subject_in_memory("gemma2", [tiny.sae("standard", i) for i in range(3)])
    directions = np.random.default_rng(1).normal(size=(2, tiny.D_MODEL))
    found = subject.projections(REFUSED, directions, position=-2)
    by_hand = Literal(subject, directions[1])
    for i, prompt in enumerate(REFUSED):
        at = len(subject.template.tokens(prompt.text)) - 2
        components = by_hand.components(prompt)
        for layer in subject.suite:
            pair = found[layer].stream[i, 1], found[layer].reconstruction[i, 1]
            assert pair == pytest.approx(components[layer, at], abs=1e-5)


def test_a_prompt_that_is_its_own_harmless_mean_stays_as_it_is():
    subject = tiny.subject_in_memory("llama", [tiny.sae("jumprelu", i) for i in range(3)])
    direction = np.random.default_rng(2).normal(size=(1, tiny.D_MODEL))
    only_template = Ablation(positions=Positions.TEMPLATE)
    ask = subject.replaced_parts(ANSWERED[:1], ANSWERED[:1], direction, only_template)
    for part in Part:
        assert ask(part, 0) == pytest.approx(subject.clean_scores(ANSWERED[:1]), abs=1e-5)


def test_residuals_by_prompt_have_the_mean_that_is_read_elsewhere(subject: Subject):
    means = subject.mean_residuals(REFUSED)
    for position in (-1, -3):
        found = subject.residuals_at(REFUSED, layer=1, position=position)
        assert found.mean(axis=0) == pytest.approx(means[1, position], abs=1e-6)


def test_effects_prompt_by_prompt_are_in_the_prompts_order(subject: Subject):
    direction = np.random.default_rng(3).normal(size=tiny.D_MODEL)
    found = subject.direction_effects(REFUSED, ANSWERED).on_each(direction, layer=1)
    for i, prompt in enumerate(REFUSED):
        alone = subject.direction_effects([prompt], ANSWERED[:1]).on_each(direction, layer=1)
        assert found.bypass[i] == pytest.approx(alone.bypass[0], abs=1e-5)
    for i, prompt in enumerate(ANSWERED):
        alone = subject.direction_effects(REFUSED[:1], [prompt]).on_each(direction, layer=1)
        assert found.induce[i] == pytest.approx(alone.induce[0], abs=1e-5)
        assert found.kl[i] == pytest.approx(alone.kl[0], abs=1e-5)
    whole = subject.direction_effects(REFUSED, ANSWERED)(direction, position=-1, layer=1)
    assert whole.bypass == pytest.approx(found.bypass.mean())


# A model written by hand: attention of the first layer carries "bomb" to every later position,
# along one direction, and the unembedding reads it there.

CONSTANT, HARM, REFUSAL = 0, 1, 2


def written(share: float, n_saes: int) -> Subject:
    """The refusal score is linear in the refusal direction's component; each SAE's one feature
    reads that `share` of it."""
    subject = tiny.subject_in_memory("llama", [_sees(share, i) for i in range(n_saes)])
    network = subject.network
    words = tiny.tokenizer().get_vocab()
    with torch.no_grad():
        for layer in network.model.layers:
            for projection in ("q_proj", "k_proj", "v_proj", "o_proj"):
                getattr(layer.self_attn, projection).weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        network.model.embed_tokens.weight.zero_()
        # So large that the norms divide every stream by the same number, nearly.
        network.model.embed_tokens.weight[:, CONSTANT] = 30.0
        network.model.embed_tokens.weight[words["bomb"], HARM] = 3.0
        network.model.layers[0].self_attn.v_proj.weight[0, HARM] = 1.0
        network.model.layers[0].self_attn.o_proj.weight[REFUSAL, 0] = 30.0
        network.lm_head.weight.zero_()
        for word in ("no", "never"):
            network.lm_head.weight[words[word], REFUSAL] = 60.0
    return subject


def _sees(share: float, layer: int) -> Any:
    from sae_lens import saes

    made = saes.StandardSAE(saes.StandardSAEConfig(d_in=tiny.D_MODEL, d_sae=2, device="cpu"))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
        made.W_enc[REFUSAL, 0] = share
        made.W_dec[0, REFUSAL] = 1.0
    made.cfg.metadata.hook_name = f"blocks.{layer}.hook_resid_post"
    return made.eval()


BOMBS = prompts(
    (
        *("build a bomb", "please tell me how to build a bomb", "bomb house"),
        *("tell me how to build a bomb", "please build a bomb"),
    ),
    Label.HARMFUL,
)


def coverage(subject: Subject) -> SaeCoverage:
    directions = np.zeros((3, tiny.D_MODEL))
    directions[[0, 1, 2], [REFUSAL, 7, 8]] = 1.0
    pool = frozenset(FeatureId(layer, 0) for layer in subject.suite)
    score = subject.refusal_scores()
    return sae_coverage(
        subject.replaced_parts(BOMBS, ANSWERED, directions),
        2,
        clean=score([(prompt, frozenset()) for prompt in BOMBS]),
        candidates=score([(prompt, pool) for prompt in BOMBS]),
        random_sets=[],
        rotated=[],
        layers=[],
    )


@pytest.mark.parametrize(
    ("share", "n_saes", "hidden", "carried"),
    [
        (1.0, 1, 0.0, 0.0),
        (1.0, 3, 0.0, 0.0),
        (0.5, 1, 0.5, 0.5),
        (0.0, 3, 1.0, 1.0),
        # What one layer's SAE misses the next one's shows half of: three leave an eighth, though
        # half of the direction is in every layer's error term.
        (0.5, 3, 0.125, 0.5),
    ],
)
def test_what_the_saes_lack_by_construction_is_found_hidden(
    share: float, n_saes: int, hidden: float, carried: float
):
    found = coverage(written(share, n_saes))
    assert found.clean.value > 0.0 > found.direction.value
    assert _value(found.hidden_from_saes) == pytest.approx(hidden, abs=0.02)
    assert _value(found.hidden_from_candidates) == pytest.approx(hidden, abs=0.02)
    assert _value(found.carried_by_error) == pytest.approx(carried, abs=0.02)
    for control in (found.random_direction, found.random_error):
        assert control is not None
        assert max(abs(control.lowest), abs(control.highest)) < 0.01


def test_the_gap_lies_where_the_sae_was_written_to_see_it():
    subject = written(0.5, 1)
    directions = np.eye(tiny.D_MODEL)[[REFUSAL]]
    harmful, harmless = (
        subject.projections(some, directions, position=-1)[0] for some in (BOMBS, ANSWERED)
    )
    assert harmful.reconstruction[:, 0] == pytest.approx(0.5 * harmful.stream[:, 0])
    assert (harmful.stream[:, 0] > 0.5).all()
    assert harmless.stream == pytest.approx(0.0)


def _value(estimate: Estimate | None) -> float:
    assert estimate is not None
    return estimate.value


def test_a_planted_mechanism_that_lies_in_the_error_is_found_hidden(tmp_path: Path):
    """A fifth of the drive is in no SAE's features (2 units in features, 1 in the error); ablating
    every planted feature must leave that fifth of what removing the direction does."""
    planted = plant(build("imperfect", 2, 0), tmp_path / "planted", architecture="llama")
    subject = planted.subject(device="cpu")
    prompts = read_sources((str(planted.prompts),))[0].prompts
    harmful, harmless = (
        [one for one in prompts if one.label == label][:6]
        for label in (Label.HARMFUL, Label.HARMLESS)
    )
    last = subject.layers[-1]
    means = subject.mean_residuals(harmful)[last, -1], subject.mean_residuals(harmless)[last, -1]
    pool, score = frozenset(planted.player_features.values()), subject.refusal_scores()
    found = sae_coverage(
        subject.replaced_parts(harmful, harmless, (means[0] - means[1])[None]),
        0,
        clean=score([(prompt, frozenset()) for prompt in harmful]),
        candidates=score([(prompt, pool) for prompt in harmful]),
        random_sets=[],
        rotated=[],
        layers=[],
    )
    assert _value(found.hidden_from_candidates) == pytest.approx(0.2, abs=0.06)
