"""Directions that an audit found, taken out again without the audit: plain hooks, greedy text.

None of the audit's own code runs here save the words that make an answer a refusal; the phrases are
those that the organism's training never met.
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
    """Greedy answers that open with words of refusal, so many directions out."""

    n_out: int
    refused: dict[Kind, Estimate]


def refused_by_hand(
    model: Any,
    tokenizer: Any,
    directions: Directions,
    prompts: Sequence[HeldOutPrompt],
    progress: Callable[[int, int], None],
) -> list[RefusedByHand]:
    """With none of the unit directions out, with the first, and so on to all of them."""
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
    """Directions out of all that is added to a Gemma-2 model's stream, and of the stream itself."""

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
