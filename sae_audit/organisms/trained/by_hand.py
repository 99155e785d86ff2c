"""Greedy answers with an audit's directions projected out by plain hooks, independent of the audit.

The only code shared with the audit is the list of refusal words; the phrases are held out of the
organism's training.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from sae_audit.findings import Estimate
from sae_audit.organisms.chats import HeldOutPrompt
from sae_audit.organisms.measure import treatments
from sae_audit.organisms.requests import Kind
from sae_audit.statistics import share

Directions = Float[Tensor, "direction d_model"]


@dataclass(frozen=True, kw_only=True)
class RefusedByHand:
    """Greedy answers that open with words of refusal, for one number of directions projected out."""

    n_out: int
    refused: dict[Kind, Estimate]


def refused_by_hand(
    model: Any,
    tokenizer: Any,
    directions: Directions,
    prompts: Sequence[HeldOutPrompt],
    progress: Callable[[int, int], None],
) -> list[RefusedByHand]:
    """Refusals with the first 0, 1, ..., all unit directions projected out."""
    found: list[RefusedByHand] = []
    for n_out in range(len(directions) + 1):
        progress(n_out, len(directions) + 1)
        with without(model, directions[:n_out]):
            treated = treatments(model, tokenizer, prompts)
        refused = {
            kind: [one.refused_by_text for one in treated if one.prompt.phrase.kind == kind]
            for kind in Kind
        }
        found.append(
            RefusedByHand(
                n_out=n_out,
                refused={kind: share(sum(own), len(own)) for kind, own in refused.items() if own},
            )
        )
    progress(len(directions) + 1, len(directions) + 1)
    return found


@contextmanager
def without(model: Any, directions: Directions) -> Iterator[None]:
    """Project directions out of a Gemma-2 model's residual stream and of all additions to it."""

    def out(_module: Any, _inputs: Any, output: Any) -> Any:
        stream = output[0] if isinstance(output, tuple) else output
        stream = stream - (stream @ directions.T) @ directions
        return (stream, *output[1:]) if isinstance(output, tuple) else stream

    modules = [model.model.embed_tokens]
    for layer in model.model.layers:
        modules += [layer.post_attention_layernorm, layer.post_feedforward_layernorm, layer]
    handles = [module.register_forward_hook(out) for module in modules] if len(directions) else []
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
