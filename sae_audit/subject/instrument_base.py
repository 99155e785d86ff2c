"""Base of every question: the model with its SAEs, template and remembered clean runs."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from sae_audit.prompts.types import Prompt
from sae_audit.subject.intervention.batched_ablation import BatchedAblation
from sae_audit.subject.intervention.beginnings import Beginnings
from sae_audit.subject.intervention.interventions import Interventions
from sae_audit.subject.intervention.streams import InterventionRuns
from sae_audit.subject.model.clean_run import CleanRuns
from sae_audit.subject.model.cost import CostMeter
from sae_audit.subject.model.decoder_layers import DecoderLayers
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.identity import Identity
from sae_audit.subject.readout import Readout, RefusalReadout
from sae_audit.subject.readout.refusal_tokens import RefusalTokens
from sae_audit.subject.saes.sae import Sae
from sae_audit.subject.template.chat import Template
from sae_audit.vocabulary import Ablation

_S = TypeVar("_S", bound="InstrumentBase")
# Not `Self`, which the tests' check of signatures refuses on a method.

PLAIN = Ablation()
"""Ablation that sets features to zero at every position and keeps the error term."""


class InstrumentBase:
    """The model under audit with its SAE suite, without questions."""

    def __init__(
        self,
        *,
        identity: Identity,
        passes: ForwardPasses,
        template: Template,
        suite: dict[int, Sae],
        readout: Readout | None,
        d_model: int,
        runs: CleanRuns | None = None,
    ) -> None:
        self.identity = identity
        self.template = template
        self.suite = suite
        self.n_layers = len(passes.layer_modules)
        self.d_model = d_model
        self._passes = passes
        self._readout = readout
        self._stack = DecoderLayers(passes.model, passes.layer_modules)
        if runs is None:
            runs = CleanRuns(self._stack.clean_run, self._stack.check, self._charge_clean_run)
        self._runs = runs
        self._beginnings = Beginnings(template.before_ids, passes)
        self._interventions = Interventions(passes, suite, template, self._runs)

    def with_saes(self: _S, suite: dict[int, Sae]) -> _S:
        """The same model with other SAEs; it shares the account of passes and the clean runs, and is
        charged for those that it asks for."""
        assert suite.keys() == self.suite.keys(), "SAEs of other layers"
        return type(self)(
            identity=self.identity,
            passes=self._passes,
            template=self.template,
            suite=suite,
            readout=self._readout,
            d_model=self.d_model,
            runs=self._runs.for_other_saes(),
        )

    @property
    def readout(self) -> Readout:
        """The readout of the last position's logits; scores are its margins."""
        assert self._readout is not None, "refusal tokens are found when the subject is loaded"
        return self._readout

    @readout.setter
    def readout(self, readout: Readout) -> None:
        self._readout = readout
        self._runs.clear()  # They remember the gradient of its score.

    @property
    def refusal_tokens(self) -> RefusalTokens | None:
        """The readout's refusal tokens; None if it uses other tokens or none is known yet."""
        found = self._readout
        return found.refusal_tokens if isinstance(found, RefusalReadout) else None

    @property
    def layers(self) -> list[int]:
        """The audited layers: those with an SAE."""
        return sorted(self.suite)

    @property
    def network(self) -> Any:
        """The Hugging Face model itself, for uses beyond an audit's questions."""
        return self._passes.model

    @property
    def cost(self) -> CostMeter:
        """Forward passes and tokens spent so far."""
        return self._passes.cost.copy()

    @property
    def accelerator(self) -> str:
        """Name of the GPU; empty on other devices."""
        device = self._passes.device
        return torch.cuda.get_device_name(device) if device.type == "cuda" else ""

    def peak_device_memory(self) -> int:
        """Most bytes allocated on the GPU so far; 0 on other devices."""
        device = self._passes.device
        return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0

    def forget_clean_runs(self) -> None:
        """Free the memory of the clean runs; later questions make them again."""
        self._runs.clear()
        self._beginnings.clear()

    def begin_account(self) -> None:
        """Begin a piece of work, which is charged for its clean runs, including remembered ones."""
        self._runs.begin_account()
        self._beginnings.clear()

    @contextmanager
    def uncharged(self) -> Iterator[None]:
        """Leave questions inside the block uncharged; their cost is counted elsewhere."""
        before = self.cost
        yield
        self._passes.cost.forward_passes = before.forward_passes
        self._passes.cost.tokens = before.tokens

    def charge(self, cost: CostMeter) -> None:
        """Charge for questions that were left uncharged when they were asked."""
        self._passes.cost.forward_passes += cost.forward_passes
        self._passes.cost.tokens += cost.tokens

    @property
    def tokens_per_batch(self) -> int:
        """Number of tokens that share a pass; it falls if memory runs out."""
        return self._passes.budget.tokens

    def _charge_clean_run(self, n_positions: int) -> None:
        self._passes.cost.count(batch=1, positions=n_positions)

    def _tokens(self, prompts: Iterable[Prompt]) -> list[Int[Tensor, " _"]]:
        return [self.template.tokens(prompt.text) for prompt in prompts]

    def _streams(self, prompt: Prompt, ablation: Ablation) -> InterventionRuns:
        ids = self._interventions.ids(prompt)
        return InterventionRuns(
            passes=self._passes,
            stack=self._stack,
            suite=self.suite,
            runs=self._runs,
            ids=ids,
            selected=self._interventions.selected(ids, ablation),
            ablation=ablation,
        )

    def _sweeper(self, ablation: Ablation, error_layers: frozenset[int]) -> BatchedAblation:
        return BatchedAblation(self._stack, self.suite, ablation, error_layers, self._passes.cost)
