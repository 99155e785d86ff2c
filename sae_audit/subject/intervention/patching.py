"""Activation patching of the residual stream at prompts' last positions (2202.05262).

Only these positions are run again, in the layers above the patched one: what lies before them cannot see
them. So a prompt patched at every layer costs a small part of one pass for each.
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from sae_audit.subject.intervention.readings import Tokens
from sae_audit.subject.model.clean_run import CleanRun, CleanRuns
from sae_audit.subject.model.decoder_layers import DecoderLayers
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.suffixes import Suffixes

_Streams = Float[Tensor, "prompt position d_model"]


class Patching:
    """The stream of prompts at their last positions, and logits if it is replaced after one layer.

    The prompts' clean runs are held for as long as this object lives.
    """

    def __init__(
        self, passes: ForwardPasses, stack: DecoderLayers, runs: CleanRuns, prompts: Tokens, n: int
    ) -> None:
        """`n` last positions, no more than the shortest prompt has."""
        assert n <= min(map(len, prompts), default=n), "a prompt with fewer positions"
        self._passes, self._stack, self._n = passes, stack, n
        self._runs = [runs.of(ids.to(passes.device)) for ids in prompts]

    def clean(self, layer: int) -> _Streams:
        """`resid_post` of a layer."""
        return torch.stack([run.resid[layer][-self._n :] for run in self._runs])

    @torch.no_grad()
    def logits(self, layer: int, streams: _Streams) -> Float[Tensor, "prompt vocabulary"]:
        """Next-token logits if the stream after the layer is `streams`."""
        start, parts = 0, list[Float[Tensor, "some_prompts vocabulary"]]()
        for n_rows, batch in self._batches:
            parts.append(self._from(layer, streams[start : start + n_rows], batch))
            start += n_rows
        return torch.cat(parts)

    @cached_property
    def _batches(self) -> list[tuple[int, Suffixes]]:
        """As many prompts as share a batch, with what layers need of them: the same for every layer."""
        size = max(1, min(self._passes.rows_per_batch(self._n), self._passes.most_rows))
        parts: list[Sequence[CleanRun]] = [
            self._runs[start : start + size] for start in range(0, len(self._runs), size)
        ]
        return [(len(part), self._stack.suffixes(part, self._n)) for part in parts]

    def _from(
        self, layer: int, streams: _Streams, batch: Suffixes
    ) -> Float[Tensor, "some_prompts vocabulary"]:
        owner = torch.arange(len(streams), device=self._passes.device)
        resid = streams.to(self._runs[0].resid[layer])
        for above in range(layer + 1, self._stack.n_layers):
            resid = self._stack.run(above, resid, batch, owner)
        self._passes.cost.count(batch=len(streams), positions=self._n)
        return self._stack.head(resid[:, -1])
