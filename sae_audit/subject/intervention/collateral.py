"""Side effects of an ablation on prompts that it should not affect."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sae_audit.subject.intervention.readings import Tokens
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import Edit
from sae_audit.subject.model.kl import next_token_kl

_MOST_LOGITS = 1 << 26
"""Logits that one pass may hold: 256 MB in float32."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A prompt with the clean model's greedy answer and that answer's cross-entropy."""

    ids: Int[Tensor, " position"]
    n_prompt: int
    next_logits: Float[Tensor, "1 vocabulary"]
    cross_entropy: float
    """Mean cross-entropy of the answer's tokens, nats a token."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """Changes of one prompt under one ablation."""

    kl: float
    """KL of the next-token distribution at the prompt's end, clean against ablated, nats."""
    cross_entropy: float
    """Increase of the clean answer's cross-entropy, nats a token."""


def clean_answers(passes: ForwardPasses, prompts: Tokens, n_tokens: int) -> list[Answer]:
    answers: dict[int, Answer] = {}
    for batch in passes.batches(prompts, padded_in_front=True):
        produced = passes.generate(batch.ids, n_tokens, lengths=batch.lengths)
        for i, answer in zip(batch.members, produced, strict=True):
            ids = prompts[i].to(passes.device)
            whole, n_prompt = torch.cat([ids, ids.new_tensor(answer)]), len(ids)
            logits = passes.logits_from(n_prompt - 1, whole[None])
            answers[i] = Answer(
                ids=whole,
                n_prompt=n_prompt,
                next_logits=logits[:, 0],
                cross_entropy=_cross_entropy(logits, whole[n_prompt:]),
            )
    return [answers[i] for i in range(len(prompts))]


def rows_together(passes: ForwardPasses, answer: Answer) -> int:
    """Number of ablations of this answer that share a pass."""
    length, vocabulary = len(answer.ids), answer.next_logits.shape[1]
    logits = (length - answer.n_prompt + 1) * vocabulary
    return max(1, min(passes.rows_per_batch(length), _MOST_LOGITS // logits))


def changes_of_rows(
    passes: ForwardPasses, answer: Answer, edits: Mapping[nn.Module, Edit], n: int
) -> list[Change]:
    """The changes of each row of a batch of `n`, that `edits` ablate differently."""
    logits = passes.logits_from(answer.n_prompt - 1, answer.ids.expand(n, -1), outputs=edits)
    kl = next_token_kl(answer.next_logits.expand(n, -1), logits[:, 0])
    tokens = answer.ids[answer.n_prompt :]
    return [
        Change(
            kl=float(kl[i]),
            cross_entropy=_cross_entropy(logits[i : i + 1], tokens) - answer.cross_entropy,
        )
        for i in range(n)
    ]


def _cross_entropy(
    logits: Float[Tensor, "1 position vocabulary"], tokens: Int[Tensor, " predicted"]
) -> float:
    """Of the tokens behind the prompt's end, by the logits at its last position and at theirs."""
    return float(nn.functional.cross_entropy(logits[0, :-1].double(), tokens))
