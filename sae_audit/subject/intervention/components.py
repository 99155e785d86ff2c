"""The stream's component along a direction, split into what the SAE shows of it and what it misses.

    x . r  =  xhat . r  +  e . r        xhat the SAE's reconstruction of x, e its error term

Each part can be replaced, at every audited layer, by its mean over harmless prompts:

- the whole:           x <- x + (m - x . r) r                    m the harmless mean of x . r
- the reconstruction:  x <- x - (xhat . r - m') r                m' that of xhat . r
- the error:           x <- x + (c + m - m' - x . r) r           c the clean run's xhat . r

The means are harmless ones, not zero: a harmless prompt has some component along r as well, and so
has the decoder's bias; a stream without any is one the model never sees (2506.00085 makes its
projection affine for this reason). Every template position has its own mean, and all positions of
the users' words share one. Positions before the words are alike in all prompts: causal attention
makes each its own mean, so they are left as they are, BOS with its huge norm among them.

The reconstruction is read off the stream as it arrives, as an ablated feature is: what one layer's
SAE misses the next one's may show, and it is then removed there. Read so, the error's part would be
taken out of the same stream layer after layer, a tenth of what is left at each; so it is the rest,
what the SAE shows, that is held at the clean run's (as in 2403.19647), and only the error changes.
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
"""Which positions of these token ids are meant."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """Components of one layer's clean stream along each direction."""

    stream: Float[Tensor, "position direction"]
    reconstruction: Float[Tensor, "position direction"]
    lengths: Float[Tensor, " position"]
    """Of the stream."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Means:
    """Means by role: entry 0 of all positions of the words, then of each of the template's."""

    stream: Float[Tensor, "role direction"]
    reconstruction: Float[Tensor, "role direction"]


class Components:
    """Parts of clean streams along some directions."""

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
        """Of every prompt, by layer, at all positions."""
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
        """The same at one position, counted from the prompt's end, as numbers."""
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
    """Refusal scores of prompts, one part of the component along one direction as in harmless ones."""

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
        """`selected` are the positions replaced, the last `n_after` the chat template's."""
        assert prompts, "no prompts to score"
        assert harmless, "no harmless prompts to take means of"
        self._components = components
        self._prompts = prompts
        self._n_after = n_after
        self._readout = readout
        n_shared = _n_shared([*prompts, *harmless], n_after)
        self._masks = [selected(ids) & (torch.arange(len(ids)) >= n_shared) for ids in prompts]
        self._means = self._role_means(components.of(harmless), n_shared)
        self._clean = components.of(prompts)

    def __call__(self, part: Part, direction: int) -> Float[np.ndarray, " prompt"]:
        passes, suite = self._components.passes, self._components.suite
        scores = np.zeros(len(self._prompts))
        encoding = widest(suite) if part == Part.RECONSTRUCTION else 0
        for batch in passes.batches(self._prompts, encoding=encoding):
            edits = {
                passes.places[layer].layer: self._edit(part, layer, direction, batch)
                for layer in suite
            }
            logits = passes.last_logits(batch.ids, lengths=batch.lengths, outputs=edits)
            scores[batch.members] = margin(self._readout, logits).cpu().numpy()
        return scores

    def _edit(self, part: Part, layer: int, direction: int, batch: Batch) -> Edit:
        unit = self._components.units[direction]
        mask = batch.padded([self._masks[i] for i in batch.members])
        means = self._means[layer]
        # Padding has the role of a word; the mask leaves it as it is.
        roles = batch.padded([_roles(n, self._n_after) for n in batch.lengths])
        stream, known = means.stream[roles, direction], means.reconstruction[roles, direction]
        clean = [self._clean[i][layer].reconstruction[:, direction] for i in batch.members]
        held = batch.padded(clean)

        def edit(resid: Resid) -> Resid:
            here = unit.to(resid.device)
            if part == Part.RECONSTRUCTION:
                rebuilt = self._components.rebuilt(layer, resid).float()
                change = known - rebuilt @ here
            else:
                target = stream if part == Part.STREAM else held + stream - known
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
    """Positions from the start at which all prompts are alike; one of each one's own is left out."""
    columns = zip(*(ids.tolist() for ids in prompts), strict=False)
    alike = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    return max(0, min(alike, min(len(ids) for ids in prompts) - n_after - 1))


def _numbers(rows: list[Float[Tensor, " direction"]]) -> Float[np.ndarray, "prompt direction"]:
    return torch.stack(rows).double().cpu().numpy()
