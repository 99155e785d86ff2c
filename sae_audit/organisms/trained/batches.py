"""Where prompts end in a batch of chats."""

from jaxtyping import Bool, Int
from torch import Tensor

from sae_audit.organisms.language_model import IGNORED


def last_of_prompt(labels: Int[Tensor, "batch position"]) -> Int[Tensor, " batch"]:
    """Position of the last prompt token of each row."""
    return (labels != IGNORED).int().argmax(dim=1) - 1


def in_prompt(labels: Int[Tensor, "batch position"]) -> Bool[Tensor, "batch position"]:
    """Positions of the prompt, without <bos>: its norm is many times that of any other token."""
    import torch

    places = torch.arange(labels.shape[1])[None]
    return (places <= last_of_prompt(labels)[:, None]) & (places > 0)
