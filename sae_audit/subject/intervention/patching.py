"""Activation patching of the residual stream at prompts' last positions (2202.05262).

Only these positions are run again, in the layers above the patched one: what lies before them cannot see
them. So a prompt patched at every layer costs a small part of one pass for each.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from sae_audit.subject.intervention.readings import Tokens
from sae_audit.subject.model.clean_run import CleanRun, CleanRuns
from sae_audit.subject.model.decoder_layers import DecoderLayers
from sae_audit.subject.model.forward_passes import ForwardPasses

_Streams = Float[Tensor, "prompt position d_model"]


class Patching:
    """The stream of prompts at their last positions, and logits if it is replaced after one layer."""

    def __init__(
        self, passes: ForwardPasses, stack: DecoderLayers, runs: CleanRuns, prompts: Tokens, n: int
    ) -> None:
        """`n` last positions, no more than the shortest prompt has."""
        assert n <= min(map(len, prompts), default=n), "a prompt with fewer positions"
        self._passes, self._stack, self._runs = passes, stack, runs
        self._prompts, self._n = prompts, n

    def clean(self, layer: int) -> _Streams:
        """`resid_post` of a layer."""
        return torch.stack(
            [self._run(i).resid[layer][-self._n :] for i in range(len(self._prompts))]
        )

    @torch.no_grad()
    def logits(self, layer: int, streams: _Streams) -> Float[Tensor, "prompt vocabulary"]:
        """Next-token logits if the stream after the layer is `streams`."""
        size = max(1, min(self._passes.rows_per_batch(self._n), self._passes.most_rows))
        parts = [
            self._from(layer, range(start, min(start + size, len(streams))), streams)
            for start in range(0, len(streams), size)
        ]
        return torch.cat(parts)

    def _run(self, i: int) -> CleanRun:
        return self._runs.of(self._prompts[i].to(self._passes.device))

    def _from(
        self, layer: int, prompts: range, streams: _Streams
    ) -> Float[Tensor, "some_prompts vocabulary"]:
        runs = [self._run(i) for i in prompts]
        batch = self._stack.suffixes(runs, self._n)
        owner = torch.arange(len(runs), device=self._passes.device)
        resid = streams[prompts.start : prompts.stop].to(runs[0].resid[layer])
        for above in range(layer + 1, self._stack.n_layers):
            resid = self._stack.run(above, resid, batch, owner)
        self._passes.cost.count(batch=len(runs), positions=self._n)
        return self._stack.head(resid[:, -1])
