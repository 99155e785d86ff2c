"""The residual stream's component along a direction, split into SAE reconstruction and error term.

    x . r  =  xhat . r  +  e . r        xhat the SAE's reconstruction of x, e its error term

Each part can be replaced, at every audited layer, by its mean over harmless prompts:

- the whole:           x <- x + (m - x . r) r                    m the harmless mean of x . r
- the reconstruction:  x <- x - (xhat . r - m') r                m' that of xhat . r
- the error:           x <- x + (c + m - m' - x . r) r           c the clean run's xhat . r

The means are harmless ones instead of zero: a harmless prompt and the decoder's bias have a component
along r as well, and a stream without one never occurs (2506.00085 makes its projection affine for this
reason). Every template position has its own mean, and all positions of the users' words share one.
Positions before the words are alike in all prompts and so equal their mean under causal attention;
they are left unchanged, among them BOS with its huge norm.

The reconstruction is computed on the incoming stream, as for ablated features: the part that one
layer's SAE misses may appear in the next layer's and is then removed there. Computed in this way, the
error's part would be removed layer after layer, a tenth of the remainder each; instead the
reconstruction is frozen at the clean run's (as in 2403.19647), so that only the error changes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_audit.subject.intervention.readings import Tokens, widest
from sae_audit.subject.model.batches import Batch
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import Edit, Resid
from sae_audit.subject.readout.readout import Readout, margin
from sae_audit.subject.saes.sae import Sae
from sae_audit.vocabulary import Part, Projections

Select = Callable[[Int[Tensor, " position"]], Bool[Tensor, " position"]]
"""Mask of the selected positions of token ids."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """Components of one layer's clean residual stream along each direction."""

    stream: Float[Tensor, "position direction"]
    reconstruction: Float[Tensor, "position direction"]
    lengths: Float[Tensor, " position"]
    """Norm of the residual stream."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Means:
    """Means by role: entry 0 over all positions of the words, then one for each template position."""

    stream: Float[Tensor, "role direction"]
    reconstruction: Float[Tensor, "role direction"]


class Components:
    """Components of clean residual streams along given directions."""

    def __init__(
        self,
        passes: ForwardPasses,
        suite: dict[int, Sae],
        directions: Float[np.ndarray, "direction d_model"],
    ) -> None:
        vectors = torch.tensor(directions, dtype=torch.float64, device=passes.device)
        self.units = (vectors / vectors.norm(dim=-1, keepdim=True)).float()
        self.passes = passes
        self.suite = suite

    def of(self, prompts: Tokens) -> list[dict[int, Parts]]:
        """The parts of every prompt, by layer, at all positions."""
        found: list[dict[int, Parts]] = [{} for _ in prompts]
        for batch in self.passes.batches(prompts, encoding=widest(self.suite)):

            def note(layer: int, resid: Resid, batch: Batch = batch) -> None:
                stream, known = self.along(resid), self.along(self.rebuilt(layer, resid))
                lengths = resid.float().norm(dim=-1)
                for row, (i, n) in enumerate(zip(batch.members, batch.lengths, strict=True)):
                    found[i][layer] = Parts(
                        stream=stream[row, :n],
                        reconstruction=known[row, :n],
                        lengths=lengths[row, :n],
                    )

            self.passes.read(batch.ids, sorted(self.suite), note, lengths=batch.lengths)
        return found

    def at(self, prompts: Tokens, position: int) -> dict[int, Projections]:
        """Numbers at one position, by layer; negative positions count from the prompt's end."""
        assert prompts, "the components of no prompts"
        parts = self.of(prompts)
        return {
            layer: Projections(
                stream=_numbers([one[layer].stream[position] for one in parts]),
                reconstruction=_numbers([one[layer].reconstruction[position] for one in parts]),
                length=float(np.mean([float(one[layer].lengths[position]) for one in parts])),
            )
            for layer in sorted(self.suite)
        }

    def along(self, resid: Resid) -> Float[Tensor, "batch position direction"]:
        return resid.float() @ self.units.to(resid.device).T

    def rebuilt(self, layer: int, resid: Resid) -> Resid:
        sae = self.suite[layer]
        return sae.decode(sae.encode(resid), resid)


class ReplacedParts:
    """Refusal scores with a part of the component along a direction replaced by its harmless mean."""

    def __init__(
        self,
        components: Components,
        prompts: Tokens,
        harmless: Tokens,
        *,
        selected: Select,
        n_after: int,
        readout: Readout,
    ) -> None:
        """`selected` gives the positions replaced; the last `n_after` are the chat template's."""
        assert prompts, "no prompts to score"
        assert harmless, "no harmless prompts to take means of"
        self._components = components
        self._prompts = prompts
        self._n_after = n_after
        self._readout = readout
        n_shared = self._n_shared = _n_shared([*prompts, *harmless], n_after)
        self._masks = [selected(ids) & (torch.arange(len(ids)) >= n_shared) for ids in prompts]
        self._means = self._role_means(components.of(harmless), n_shared)
        self._clean = components.of(prompts)

    def __call__(self, part: Part, direction: int) -> Float[np.ndarray, " prompt"]:
        passes, suite = self._components.passes, self._components.suite
        scores = np.zeros(len(self._prompts))
        encoding = widest(suite) if part == Part.RECONSTRUCTION else 0
        for batch in passes.batches(self._prompts, encoding=encoding):
            # What all prompts begin with is left as it is, and no position sees a later one.
            begun = passes.begun_alike(batch, self._n_shared)
            n = self._n_shared if begun is not None else 0
            edits = {
                passes.layer_modules[layer].layer: self._edit(part, layer, direction, batch, n)
                for layer in suite
            }
            lengths = [length - n for length in batch.lengths]
            logits = passes.last_logits(
                batch.ids[:, n:], lengths=lengths, outputs=edits, begun=begun
            )
            scores[batch.members] = margin(self._readout, logits).cpu().numpy()
        return scores

    def _edit(self, part: Part, layer: int, direction: int, batch: Batch, first: int) -> Edit:
        """The edit of a layer's `resid_post` at the positions from `first` on."""
        unit = self._components.units[direction]
        mask = batch.padded([self._masks[i] for i in batch.members])[:, first:]
        means = self._means[layer]
        # Padding has the role of a word; the mask leaves it unchanged.
        roles = batch.padded([_roles(n, self._n_after) for n in batch.lengths])[:, first:]
        stream, known = means.stream[roles, direction], means.reconstruction[roles, direction]
        clean = batch.padded(
            [self._clean[i][layer].reconstruction[:, direction] for i in batch.members]
        )[:, first:]

        def edit(resid: Resid) -> Resid:
            here = unit.to(resid.device)
            if part == Part.RECONSTRUCTION:
                rebuilt = self._components.rebuilt(layer, resid).float()
                change = known - rebuilt @ here
            else:
                target = stream if part == Part.STREAM else clean + stream - known
                change = target - resid.float() @ here
            change = torch.where(mask.to(resid.device), change, 0.0)
            return resid + (change[..., None] * here).to(resid.dtype)

        return edit

    def _role_means(self, parts: list[dict[int, Parts]], n_shared: int) -> dict[int, _Means]:
        def means(values: list[Tensor]) -> Float[Tensor, "role direction"]:
            words = torch.cat([one[n_shared : len(one) - self._n_after] for one in values])
            template = torch.stack([one[len(one) - self._n_after :] for one in values])
            means = [words.double().mean(dim=0)[None], template.double().mean(dim=0)]
            return torch.cat(means).float()

        return {
            layer: _Means(
                stream=means([one[layer].stream for one in parts]),
                reconstruction=means([one[layer].reconstruction for one in parts]),
            )
            for layer in self._components.suite
        }


def _roles(length: int, n_after: int) -> Int[Tensor, " position"]:
    return (torch.arange(length) - (length - n_after) + 1).clamp(min=0)


def _n_shared(prompts: Sequence[Int[Tensor, " _"]], n_after: int) -> int:
    """Number of leading positions at which all prompts agree, short of each prompt's last own one."""
    columns = zip(*(ids.tolist() for ids in prompts), strict=False)
    alike = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    return max(0, min(alike, min(len(ids) for ids in prompts) - n_after - 1))


def _numbers(rows: list[Float[Tensor, " direction"]]) -> Float[np.ndarray, "prompt direction"]:
    return torch.stack(rows).double().cpu().numpy()
