"""What a model writes, many texts at a time."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch

from sae_audit.organisms.smollm2.base import Base

_BATCH = 48


@dataclass(frozen=True, kw_only=True)
class Written:
    """A continuation of a text."""

    text: str
    ended: bool
    """Whether the model ended it, before it was cut."""


@torch.no_grad()
def continuations(
    base: Base,
    network: Any,
    texts: Sequence[str],
    *,
    most: int,
    seed: int | None = None,
    temperature: float = 1.0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Written]:
    """What the network writes behind each text, at most `most` tokens.

    Its likeliest words, or with a seed words drawn by their probability at a temperature.

    In bfloat16, several times as fast where the processor multiplies it natively.
    """
    network = deepcopy(network).to(torch.bfloat16).eval()
    if seed is not None:
        torch.manual_seed(seed)
    encoded = [base.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    # Texts of one length share a batch without padding to speak of.
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
    found: dict[int, Written] = {}
    for chosen in _batches(order):
        progress(len(found), len(texts))
        longest = max(len(encoded[i]) for i in chosen)
        ids = torch.full((len(chosen), longest), base.end)
        mask = torch.zeros(len(chosen), longest, dtype=torch.long)
        for row, i in enumerate(chosen):
            n = len(encoded[i])
            ids[row, longest - n :] = torch.tensor(encoded[i])
            mask[row, longest - n :] = 1
        drawn = {"top_p": 1.0, "top_k": 0, "temperature": temperature} if seed is not None else {}
        written = network.generate(
            input_ids=ids.to(base.device),
            attention_mask=mask.to(base.device),
            max_new_tokens=most,
            eos_token_id=base.end,
            pad_token_id=base.end,
            do_sample=seed is not None,
            **drawn,
        )
        for row, i in enumerate(chosen):
            own = written[row, longest:].tolist()
            ended = base.end in own
            own = own[: own.index(base.end)] if ended else own
            found[i] = Written(text=base.tokenizer.decode(own).strip(), ended=ended)
    progress(len(texts), len(texts))
    return [found[i] for i in range(len(texts))]


def _batches(order: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(order), _BATCH):
        yield order[start : start + _BATCH]
