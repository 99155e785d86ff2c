"""Prompts as rows of shared batches, each row with a direction of its own projected out.

What all prompts begin with is run once for each direction and not for each prompt (`beginnings`).
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sae_audit.subject.intervention.beginnings import Beginnings, Begun, in_slices
from sae_audit.subject.intervention.readings import Tokens
from sae_audit.subject.model.batches import TAIL_PADDING, Batch
from sae_audit.subject.model.directional_ablation import (
    Units,
    at_all_writers,
    project_out_of_rows,
)
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import Edit

_Directions = Float[np.ndarray, "row d_model"]
_Edits = tuple[dict[nn.Module, Edit], dict[nn.Module, Edit]]
_Projected = tuple["ProjectedRows", bytes]
"""Whose rows, and the direction."""


class ProjectedRows:
    """The model on prompts, a direction of any norm projected out of each one's residual stream."""

    def __init__(self, passes: ForwardPasses, beginnings: Beginnings, behind: Units) -> None:
        """`behind`: orthonormal directions that are projected out of every row."""
        self._passes, self._beginnings = passes, beginnings
        self._behind = behind

    def batches(
        self, directions: _Directions, prompts: Tokens, padding: int = 0
    ) -> Iterator[tuple[Batch, dict[nn.Module, Edit], dict[nn.Module, Edit]]]:
        """Batches of the rows, with the edits of module inputs and outputs."""
        for batch in self._passes.batches(prompts, padding=padding):
            yield batch, *self._edits(directions[batch.members])

    def logits(
        self, directions: _Directions, prompts: Tokens
    ) -> Iterator[tuple[list[int], Float[Tensor, "row vocabulary"]]]:
        """Batches of row numbers, with the next-token logits of these rows."""
        n = self._beginnings.n_alike(prompts)
        if not n or not self._passes.begins_apart(n):
            for batch, inputs, outputs in self.batches(directions, prompts):
                yield (
                    batch.members,
                    self._passes.last_logits(
                        batch.ids, lengths=batch.lengths, inputs=inputs, outputs=outputs
                    ),
                )
            return
        keys = [self._key(one) for one in directions]
        for some in in_slices(keys, self._beginnings.most_together):
            begun = self._begun(directions[some])
            tails = [prompts[i][n:] for i in some]
            for batch, inputs, outputs in self.batches(directions[some], tails, TAIL_PADDING):
                own = [begun[keys[some[i]]] for i in batch.members]
                cache = self._passes.cache_of([one.kept for one in own if one is not None])
                found = self._passes.last_logits(
                    batch.ids, lengths=batch.lengths, inputs=inputs, outputs=outputs, begun=cache
                )
                yield [some[i] for i in batch.members], found

    def _begun(self, directions: _Directions) -> dict[_Projected, Begun | None]:
        """What the first tokens are with each direction projected out."""
        by_key = {self._key(one): one for one in directions}
        ids = self._beginnings.ids

        def make(keys: list[_Projected]) -> Iterator[Begun]:
            size = self._passes.rows_per_batch(len(ids))
            for start in range(0, len(keys), size):
                some = np.stack([by_key[key] for key in keys[start : start + size]])
                inputs, outputs = self._edits(some)
                rows = ids.expand(len(some), -1)
                for kept in self._passes.begun(rows, inputs=inputs, outputs=outputs):
                    yield Begun(after=-1, kept=kept)

        return self._beginnings.of(by_key, make)

    def _key(self, direction: Float[np.ndarray, " d_model"]) -> _Projected:
        return self, direction.tobytes()

    def _edits(self, directions: _Directions) -> _Edits:
        units = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        dtype, device = self._passes.model.dtype, self._passes.device
        edit = project_out_of_rows(torch.tensor(units, dtype=dtype, device=device), self._behind)
        return at_all_writers(self._passes.layer_modules, edit)
