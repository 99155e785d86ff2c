"""Edits of the residual stream for prompts, feature sets and an ablation, in whole-model passes."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from sae_audit.prompts.types import Prompt
from sae_audit.subject.intervention.ablation import (
    ablation_edit,
    check_ablation,
    check_features,
    sets_by_layer,
)
from sae_audit.subject.model.clean_run import CleanRuns
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import Edit, Resid
from sae_audit.subject.saes.sae import Sae
from sae_audit.subject.template.chat import Template
from sae_audit.vocabulary import Ablation, ErrorTerm, FeatureSet


class Interventions:
    """Positions and edits of an ablation in a prompt."""

    def __init__(
        self, passes: ForwardPasses, suite: dict[int, Sae], template: Template, runs: CleanRuns
    ) -> None:
        self.suite = suite
        self._passes = passes
        self._template = template
        self._runs = runs

    def ids(self, prompt: Prompt) -> Int[Tensor, " position"]:
        return self._template.tokens(prompt.text).to(self._passes.device)

    def selected(
        self, ids: Int[Tensor, " position"], ablation: Ablation, n_prompt: int | None = None
    ) -> Bool[Tensor, " position"]:
        """True at the positions `ablation` acts at; tokens after the first `n_prompt` are an answer."""
        # An answer's tokens are ablated if the template's are.
        prompt = ids[:n_prompt].cpu()
        positions = self._template.selected(prompt, ablation.positions)
        answer = torch.ones(len(ids) - len(prompt), dtype=torch.bool)
        return torch.cat([positions, answer]).to(ids.device)

    def of_prompt(
        self,
        ids: Int[Tensor, " position"],
        sets: Sequence[FeatureSet],
        ablation: Ablation,
        n_prompt: int | None = None,
    ) -> dict[int, Edit]:
        """By layer, the edit of a batch that has one row for this prompt under each set.

        Raises:
            AuditError: an ablation or a feature does not fit the suite.
        """
        check_ablation(ablation, self.suite, frozenset())
        check_features(sets, self.suite)
        selected = self.selected(ids, ablation, n_prompt)[None]
        if ablation.error_term != ErrorTerm.FROZEN:
            return self.of_rows(sets, ablation, selected)
        # Made before the pass: inside it the model is no longer clean.
        run = self._runs.of(ids)
        return self.of_rows(sets, ablation, selected, lambda layer: run.resid[layer][None])

    def of_rows(
        self,
        sets: Sequence[FeatureSet],
        ablation: Ablation,
        selected: Bool[Tensor, "rows position"],
        clean: Callable[[int], Resid] | None = None,
    ) -> dict[int, Edit]:
        """By layer, the edit of a batch of any prompts, one row a set; `clean` gives clean streams."""

        def clean_at(layer: int) -> Resid:
            assert clean is not None, "no clean run for these streams"
            return clean(layer)

        return {
            layer: ablation_edit(
                self.suite[layer],
                here,
                ablation=ablation,
                selected=selected,
                clean=lambda layer=layer: clean_at(layer),
            )
            for layer, here in sets_by_layer(sets).items()
        }

    def at_modules(self, edits: Mapping[int, Edit]) -> dict[nn.Module, Edit]:
        return {self._passes.layer_modules[layer].layer: edit for layer, edit in edits.items()}
