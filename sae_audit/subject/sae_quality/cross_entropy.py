"""Cross-entropy of the model's own answers with one layer's output replaced by its reconstruction."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sae_audit.findings import CE_TOKENS, Estimate
from sae_audit.statistics import mean, ratio
from sae_audit.subject.intervention.readings import Tokens, widest
from sae_audit.subject.model.forward_passes import ForwardPasses, Ids
from sae_audit.subject.model.hooks import Resid
from sae_audit.subject.saes.rotation import Turn
from sae_audit.subject.saes.sae import Sae

_LOGITS_BYTES = 128 << 20
"""Bytes of float32 logits computed at once; those of all positions would need the most memory."""

Select = Callable[[Int[Tensor, " position"]], Bool[Tensor, " position"]]
"""Mask of the selected positions of token ids."""
Head = Callable[[Float[Tensor, "row d_model"]], Float[Tensor, "row vocabulary"]]
"""Next-token logits from `resid_post` of the last layer."""
_Sums = Float[np.ndarray, " answer"]


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossEntropy:
    """Cross-entropy of each of the clean model's greedy answers, summed over its tokens, nats."""

    tokens: Int[np.ndarray, " answer"]
    clean: _Sums
    rebuilt: _Sums
    """Sums with one layer's output replaced by the SAE's reconstruction."""
    rotated: _Sums
    """The same with the rotated SAE's."""
    at_mean: _Sums
    """Sums with the same output replaced by its mean."""

    def of_the_model(self) -> Estimate:
        """Cross-entropy of the clean run, nats a token."""
        return ratio(self.clean, self.tokens.astype(np.float64))

    def recovered(self, by: _Sums) -> Estimate | None:
        """`(at_mean - by) / (at_mean - clean)`, summed over answers; None if the loss from the mean is
        within the sampling error over prompts."""
        lost = self.at_mean - self.clean
        if mean(lost).low <= 0.0:
            return None
        return ratio(self.at_mean - by, lost)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A prompt with the clean model's greedy answer."""

    ids: Int[Tensor, " position"]
    n_prompt: int

    @property
    def predicts(self) -> Bool[Tensor, " position"]:
        """True at positions whose next token belongs to the answer."""
        at = torch.arange(len(self.ids))
        return (at >= self.n_prompt - 1) & (at < len(self.ids) - 1)


def greedy_answers(passes: ForwardPasses, prompts: Tokens) -> list[Answered]:
    """Every prompt with an answer of up to `CE_TOKENS` tokens, its end of sequence included."""
    answers: dict[int, list[int]] = {}
    for batch in passes.batches(prompts, padded_in_front=True):
        produced = passes.generate(batch.ids, CE_TOKENS, lengths=batch.lengths)
        answers |= zip(batch.members, produced, strict=True)
    return [
        Answered(ids=torch.cat([ids, ids.new_tensor(answers[i])]), n_prompt=len(ids))
        for i, ids in enumerate(prompts)
    ]


@torch.no_grad()
def cross_entropies(
    passes: ForwardPasses,
    head: Head,
    suite: dict[int, Sae],
    answered: Sequence[Answered],
    replaced: Select,
    means: Mapping[int, Float[Tensor, " d_model"]],
    turns: Mapping[int, Turn],
) -> dict[int, CrossEntropy]:
    """By layer, the cross-entropies with its output replaced at the `replaced` positions.

    `means` are each layer's mean output there, `turns` the rotations of its SAE. One clean residual
    stream runs through all layers; at each audited layer three changed ones branch off and run through
    the layers above. Texts of similar length, prompt plus answer, share a batch.

    Raises:
        AssertionError: an answer is empty.
    """
    n = len(answered)
    tokens = np.array([int(one.predicts.sum()) for one in answered])
    assert n > 0, "the cross-entropy of no answer"
    assert (tokens > 0).all(), "an answer has no token"
    clean = np.zeros(n)
    rebuilt, rotated, at_mean = ({layer: np.zeros(n) for layer in suite} for _ in range(3))
    for rows in passes.batches([one.ids for one in answered], encoding=widest(suite)):
        members = rows.members
        mask = rows.padded([replaced(answered[i].ids) for i in members])[..., None]
        predicts = rows.padded([answered[i].predicts for i in members])
        batch = _Branches(passes, head, rows.ids, predicts)
        for layer, resid in batch.climb():
            if layer in suite:
                sae, here = suite[layer], mask.to(resid.device)
                for sums, instead in (
                    (rebuilt, sae.decode(sae.encode(resid), resid)),
                    (rotated, turns[layer].rebuilt(sae, resid)),
                    (at_mean, means[layer].to(resid.device)),
                ):
                    changed = torch.where(here, instead.to(resid.dtype), resid)
                    sums[layer][members] = batch.cross_entropy(layer, changed)
            if layer == batch.top:
                clean[members] = batch.cross_entropy(layer, resid)
    return {
        layer: CrossEntropy(
            tokens=tokens,
            clean=clean,
            rebuilt=rebuilt[layer],
            rotated=rotated[layer],
            at_mean=at_mean[layer],
        )
        for layer in suite
    }


class _Branches:
    """A batch of answered prompts, with the arguments of the decoder layers on it."""

    def __init__(
        self, passes: ForwardPasses, head: Head, ids: Ids, predicts: Bool[Tensor, "batch position"]
    ) -> None:
        self._passes, self._head, self._ids = passes, head, ids
        self._predicts = predicts[:, :-1]
        self._bottom: Resid | None = None
        self._calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        with ExitStack() as hooks:
            for own in passes.layer_modules:
                handle = own.layer.register_forward_pre_hook(self._note, with_kwargs=True)
                hooks.callback(handle.remove)
            passes.last_logits(ids)
        self.top = len(passes.layer_modules) - 1

    def climb(self) -> Iterator[tuple[int, Resid]]:
        """Each layer with its `resid_post`, in order; only one is in memory."""
        assert self._bottom is not None
        self._passes.cost.count(batch=self._ids.shape[0], positions=self._ids.shape[1])
        resid = self._bottom
        for layer in range(self.top + 1):
            resid = self._run(layer, resid)
            yield layer, resid

    def cross_entropy(self, layer: int, resid: Resid) -> Float[np.ndarray, " batch"]:
        """Cross-entropy with `resid` as the layer's `resid_post`, summed over each answer, nats."""
        if layer < self.top:
            self._passes.cost.count(batch=self._ids.shape[0], positions=self._ids.shape[1])
        for above in range(layer + 1, self.top + 1):
            resid = self._run(above, resid)
        predicting = resid[:, :-1][self._predicts.to(resid.device)]
        each = self._each(predicting, self._ids[:, 1:][self._predicts.to(self._ids.device)])
        ends = self._predicts.sum(dim=1).cumsum(dim=0)[:-1]
        return np.array([float(one.sum()) for one in each.tensor_split(ends.cpu())])

    def _note(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._bottom is None:
            self._bottom = args[0] if args else kwargs["hidden_states"]
        others = {name: value for name, value in kwargs.items() if name != "hidden_states"}
        self._calls.append((args[1:], others))

    def _run(self, layer: int, resid: Resid) -> Resid:
        args, kwargs = self._calls[layer]
        output = self._passes.layer_modules[layer].layer(resid, *args, **kwargs)
        return output[0] if isinstance(output, tuple) else output

    def _each(
        self, resid: Float[Tensor, "token d_model"], targets: Int[Tensor, " token"]
    ) -> Float[Tensor, " token"]:
        size = max(1, _LOGITS_BYTES // (4 * _n_vocabulary(self._passes)))
        losses: list[Tensor] = []
        for start in range(0, len(resid), size):
            logits = self._head(resid[start : start + size]).float()
            wanted = targets[start : start + size].to(logits.device)
            losses.append(nn.functional.cross_entropy(logits, wanted, reduction="none"))
        return torch.cat(losses).double().cpu()


def _n_vocabulary(passes: ForwardPasses) -> int:
    return passes.model.config.get_text_config().vocab_size
