"""Questions about what reaches the template's tokens behind the request, layer by layer."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from sae_audit.prompts.types import Prompt
from sae_audit.subject.instrument_base import InstrumentBase
from sae_audit.subject.intervention.patching import Patching
from sae_audit.subject.readout.readout import margin

_TOGETHER = 32
"""Number of prompts that are patched together."""


class PatchingQuestions(InstrumentBase):
    """Questions about scores with a layer's stream, or what it writes, replaced."""

    def patched_scores(
        self,
        prompts: Sequence[Prompt],
        means: Float[np.ndarray, "layer template d_model"],
        *,
        writes: bool = False,
    ) -> Float[np.ndarray, "layer prompt"]:
        """Refusal scores (nats) with `resid_post` of each layer in turn, at the template positions,
        replaced by `means`, those of other prompts (as `mean_residuals` gives them).

        With `writes`, only what the layer itself writes to the stream is replaced, by the difference of
        the layer's mean from that of the layer below; in the first layer the whole stream, as the
        template's embeddings are the same in all prompts.
        """
        n = self.template.n_after
        assert means.shape[:2] == (self.n_layers, n), means.shape
        found = np.zeros((self.n_layers, len(prompts)))
        # Prompts outside, layers inside: clean runs of more prompts may not fit into memory together.
        for start in range(0, len(prompts), _TOGETHER):
            some = self._tokens(prompts[start : start + _TOGETHER])
            patching = Patching(self._passes, self._stack, self._runs, some, n)
            for layer in range(self.n_layers):
                wanted = torch.tensor(means[layer])[None].expand(len(some), -1, -1)
                if writes and layer:
                    below = patching.clean(layer - 1).cpu().to(wanted.dtype)
                    wanted = below + wanted - torch.tensor(means[layer - 1])
                scores = margin(self.readout, patching.logits(layer, wanted))
                found[layer, start : start + len(some)] = scores.cpu().numpy()
        return found
