"""Prompts as rows of shared batches, each row with a direction of its own projected out.

What all prompts begin with, by their chat template, is run once for each direction and not for each
prompt: no position sees a later one, so that its keys and values are the same for all of them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sae_audit.subject.intervention.readings import Tokens
from sae_audit.subject.model.batches import ALIKE_FROM, ROWS_FROM, Batch, n_alike_in_front
from sae_audit.subject.model.directional_ablation import (
    Units,
    at_all_writers,
    project_out_of_rows,
)
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import Edit

_ROWS_TOGETHER = 256
"""Rows that are put into batches together if beginnings are run apart, so that few directions share
them."""

_Directions = Float[np.ndarray, "row d_model"]
_Edits = tuple[dict[nn.Module, Edit], dict[nn.Module, Edit]]


class ProjectedRows:
    """The model on prompts, a direction of any norm projected out of each one's residual stream."""

    def __init__(self, passes: ForwardPasses, behind: Units) -> None:
        """`behind`: orthonormal directions that are projected out of every row."""
        self._passes = passes
        self._behind = behind

    def batches(
        self, directions: _Directions, prompts: Tokens
    ) -> Iterator[tuple[Batch, dict[nn.Module, Edit], dict[nn.Module, Edit]]]:
        """Batches of the rows, with the edits of module inputs and outputs."""
        for batch in self._passes.batches(prompts):
            yield batch, *self._edits(directions[batch.members])

    def logits(
        self, directions: _Directions, prompts: Tokens
    ) -> Iterator[tuple[list[int], Float[Tensor, "row vocabulary"]]]:
        """Batches of row numbers, with the next-token logits of these rows."""
        n_alike = n_alike_in_front(prompts)
        if n_alike < ALIKE_FROM:
            n_alike = 0
        _, of_row = np.unique(directions, axis=0, return_inverse=True)
        for rows in _together(of_row.ravel(), _ROWS_TOGETHER if n_alike else len(prompts)):
            own = directions[rows]
            for batch, inputs, outputs in self.batches(own, [prompts[i] for i in rows]):
                begun = self._begun(batch, own[batch.members], n_alike) if n_alike else None
                n = n_alike if begun is not None else 0
                found = self._passes.last_logits(
                    batch.ids[:, n:],
                    lengths=[length - n for length in batch.lengths],
                    inputs=inputs,
                    outputs=outputs,
                    begun=begun,
                )
                yield [rows[i] for i in batch.members], found

    def _begun(self, batch: Batch, directions: _Directions, n_alike: int) -> Any | None:
        """Keys and values of the first tokens, row by row; None if running them apart saves nothing."""
        distinct, of_row = np.unique(directions, axis=0, return_inverse=True)
        if len(batch.members) < ROWS_FROM * len(distinct):
            return None
        inputs, outputs = self._edits(distinct)
        first = batch.ids[:1, :n_alike].expand(len(distinct), -1)
        return self._passes.begun(first, of_row.ravel().tolist(), inputs=inputs, outputs=outputs)

    def _edits(self, directions: _Directions) -> _Edits:
        units = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        dtype, device = self._passes.model.dtype, self._passes.device
        edit = project_out_of_rows(torch.tensor(units, dtype=dtype, device=device), self._behind)
        return at_all_writers(self._passes.layer_modules, edit)


def _together(of_row: np.ndarray, n_rows: int) -> list[list[int]]:
    """Row numbers in groups of at most this many rows, or of one direction; those of a direction, named
    by row, stay together."""
    if len(of_row) <= n_rows:
        return [list(range(len(of_row)))]
    groups: list[list[int]] = [[]]
    for direction in np.unique(of_row):
        own = np.flatnonzero(of_row == direction).tolist()
        if groups[-1] and len(groups[-1]) + len(own) > n_rows:
            groups.append([])
        groups[-1] += own
    return groups
